"""Perceiver IO on your own texts, from a masked language model.

  python train.py --config=configs/perceiver_io/finetune_text.py:base_bytes \
    --config.data.data_dir=letters.csv --config.init_from.path=WEIGHTS \
    --workdir=runs/letters

`letters.csv` has the columns text and label, or number, see
data/language/table.py. The number of classes, of steps and of warm-up steps are
derived from the data and printed.

Variants: the models of masked_language_modelling.py, its `demo` and its
`manuals`, whose run is what --config.init_from.path then names (or nothing:
from scratch); `tiny` is for tests. Optimizer and rate as in GLUE's recipe
(Jaegle et al. 2021b, table 13), of which 10 epochs.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.perceiver_io import masked_language_modelling as mlm

VARIANTS = mlm.VARIANTS
DATA = 'data.language.table'


def get_config(variant: str = 'base_bytes') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = config_dict.placeholder(int)
  config.derive = common.derive('task.num_outputs', epochs=10.0)

  config.task = dict(
    module='perceiver_io.tasks.texts',
    kind=config_dict.placeholder(str),
    num_outputs=config_dict.placeholder(int),
    y_mean=config_dict.placeholder(tuple),
    y_std=config_dict.placeholder(tuple),
    label_smoothing=0.0,
  )
  config.model = mlm.get_config(variant).model

  config.data = common.data(
    DATA,
    split='train',
    batch_size=32,
    tokenizer_model=config_dict.placeholder(str),
    length=config.model.max_length,
  )
  config.evals = dict(
    validation=dict(
      module='train_lib.evaluate',
      every_steps=config_dict.placeholder(int),
      data=dict(split='validation'),
    )
  )
  small = variant in ('demo', 'manuals', 'tiny')
  config.optim = common.adamw(
    lr=1e-3 if small else 5e-5, warmup_steps=config_dict.placeholder(int)
  )
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.01)
  config.optim.layers = common.PERCEIVER_LAYERS
  config.checkpoint = common.checkpoint(
    every_steps=config_dict.placeholder(int),
    best_metric='validation/loss',
    best_mode='min',
  )
  config.log_every_steps = config_dict.placeholder(int)
  config.update(common.parallel())
  # The tokens' logits and queries are not used; the head is new.
  config.init_from = dict(path='', exclude=(r'outputs/|head_|queries/',))
  if variant == 'tiny':
    config.data.batch_size = 8
    config.derive.min_steps, config.derive.num_evaluations = 20, 1
  return config

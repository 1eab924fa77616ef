"""Perceiver IO on your own sounds.

  python train.py --config=configs/perceiver_io/finetune_sounds.py:demo \
    --config.data.data_dir=sounds --workdir=runs/sounds

`sounds` has a folder for each class, or is a table with the columns file and
label, see data/sound/folder.py. Each class is there or not: several may be. The
number of classes, of steps and of warm-up steps are derived from the data and
printed.

Variants: `demo`, the small model of audioset.py's, on spectrograms of two
seconds; `tiny` is for tests. Not a published recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.perceiver_io import audioset

VARIANTS = ('demo', 'tiny')


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = audioset.get_config('demo')
  config.derive = common.derive(
    'model.num_classes', 'data.preprocess.num_classes', epochs=60.0
  )
  config.num_steps = config_dict.placeholder(int)
  config.model.num_classes = config_dict.placeholder(int)
  config.data.module = 'data.sound.folder'
  config.data.split, config.data.batch_size = 'train', 32
  config.data.preprocess.num_classes = config_dict.placeholder(int)
  config.evals = dict(
    validation=dict(
      module='perceiver_io.evaluators.mean_average_precision',
      every_steps=config_dict.placeholder(int),
      data=dict(split='validation'),
    )
  )
  config.optim.schedule.warmup_steps = config_dict.placeholder(int)
  config.optim.layers = common.PERCEIVER_LAYERS
  config.checkpoint = common.checkpoint(
    every_steps=config_dict.placeholder(int), best_metric='validation/map'
  )
  config.log_every_steps = config_dict.placeholder(int)
  config.init_from.exclude = (r'outputs/',)
  if variant == 'tiny':
    config.data.batch_size, config.data.preprocess.num_clips = 8, 2
    config.derive.min_steps, config.derive.num_evaluations = 20, 1
    config.derive.epochs = 2.0
  return config

"""BERT on the bytes of Python's documentation, beside Perceiver IO's `demo`.

  python train.py --config=configs/baselines/bert_demo.py:demo \\
    --workdir=runs/bert_demo

Data, steps and optimizer are those of
configs/perceiver_io/masked_language_modelling.py:demo; the model takes 7 % more
operations than the one there. docs/claims.md compares the two. Variant: `demo`.
"""

import ml_collections

from configs import common
from configs.baselines import bert
from configs.perceiver_io import masked_language_modelling as mlm

VARIANTS = ('demo',)


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = mlm.get_config('demo')
  config.task.make_model = bert.BERT
  config.model = dict(
    vocab_size=262,
    max_length=64,
    channels=64,
    num_layers=3,
    num_heads=4,
    mlp_channels=256,
    scan_layers=False,
    dtype=ml_collections.config_dict.placeholder(str),
  )
  return config

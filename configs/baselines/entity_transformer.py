"""The Transformer that Perceiver IO replaces on sets of entities.

  python train.py --config=configs/baselines/entity_transformer.py:demo \
    --workdir=runs/chess_transformer

Data, policy and recipe are those of configs/perceiver_io/starcraft.py, which
compares the two.
"""

import ml_collections

from configs import common
from configs.perceiver_io import starcraft

VARIANTS = 'starcraft', 'chess', 'demo'
_TRANSFORMER = 'baselines.entity_transformer.EntityTransformer'

# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {'starcraft': ('v5e:2x4', {})}


def get_config(variant: str = 'starcraft') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  if variant == 'starcraft':
    sizes = dict(num_layers=3, num_heads=2, mlp_channels=1024)
    return starcraft.starcraft(_TRANSFORMER, sizes)
  sizes = dict(num_layers=3, num_heads=4, mlp_channels=512)
  return starcraft.chess(_TRANSFORMER, sizes)

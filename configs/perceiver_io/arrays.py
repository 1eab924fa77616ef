"""Perceiver IO on your own arrays: series, point clouds, tables, fields.

  python train.py --config=configs/perceiver_io/arrays.py:demo \
    --config.data.data_dir=digits.npz --workdir=runs/digits

`digits.npz` has x, y and, if you like, coordinates, mask and more, see
data/arrays/arrays.py. What y is, the numbers of outputs, of steps and of
warm-up steps, and the statistics of all are derived from the data and printed.

Variants: `demo`, small, trained on a CPU in minutes; `base`, as wide as the
paper's smaller models, for an accelerator; `tiny` is for tests. Not a published
recipe.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from configs.paca_vit import finetune

VARIANTS = ('demo', 'base', 'tiny')
# num_latents, latent_channels, num_self_attends_per_block, heads, channels
_SIZES = {
  'demo': (32, 64, 3, 4, 64),
  'base': (256, 512, 6, 8, 256),
  'tiny': (4, 16, 1, 2, 16),
}


def get_config(variant: str = 'demo') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = finetune.get_config('tiny' if variant == 'tiny' else 'demo')
  config.derive.outputs = ('task.num_outputs',)
  config.task = dict(
    module='perceiver_io.tasks.arrays',
    kind=config_dict.placeholder(str),
    num_outputs=config_dict.placeholder(int),
    dense=config_dict.placeholder(bool),
    y_mean=config_dict.placeholder(tuple),
    y_std=config_dict.placeholder(tuple),
    label_smoothing=0.0,
  )
  latents, width, layers, heads, channels = _SIZES[variant]
  config.model = dict(
    channels=channels,
    num_bands=8 if variant != 'base' else 32,
    max_resolution=config_dict.placeholder(tuple),
    encoder=dict(
      num_latents=latents,
      latent_channels=width,
      num_self_attends_per_block=layers,
      num_self_attend_heads=heads,
    ),
    decoder=dict(use_query_residual=True),
  )
  config.data = common.data(
    'data.arrays.arrays',
    split='train',
    batch_size=32 if variant != 'tiny' else 8,
    mean=config_dict.placeholder(tuple),
    std=config_dict.placeholder(tuple),
    low=config_dict.placeholder(tuple),
    high=config_dict.placeholder(tuple),
    shift=0.0,
    columns=config_dict.placeholder(tuple),
  )
  if variant == 'base':
    config.optim.schedule.lr = 3e-4
  config.optim.layers = common.PERCEIVER_LAYERS
  config.checkpoint.update(best_metric='validation/loss', best_mode='min')
  config.init_from.exclude = (r'outputs/',)
  return config

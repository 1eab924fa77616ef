"""Perceiver IO on 5,000 real MNIST digits, from raw pixels.

  python train.py --config=configs/perceiver_io/mnist5k.py:fourier \
    --workdir=runs/fourier

Every pixel of 28 x 28 is an input; 4,000 digits train, 1,000 test.

Variants: `fourier` and `learned` positions; `fourier_permuted` and
`learned_permuted`, the same with the pixels of all digits permuted, as Jaegle
et al. 2021a do on ImageNet (table 2); `tiny`, for tests. docs/results.md has
what was trained here. Two seeds of `learned` lie further apart than the means
of `learned` and `learned_permuted`; a test shows that they are the same
function of permuted positions.
"""

import ml_collections
from ml_collections import config_dict

from configs import common

NUM_TRAIN = 4_000
_POSITIONS = {
  'fourier': dict(kind='fourier_pixels', max_resolution=(28, 28), num_bands=8),
  'learned': dict(
    kind='learned_pixels',
    image_size=(28, 28),
    channels=16,
    position_channels=64,
    projected_position_channels=64,
    interpolate=False,
  ),
}
VARIANTS = (*_POSITIONS, *(f'{x}_permuted' for x in _POSITIONS), 'tiny')


def get_config(variant: str = 'fourier') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.task = dict(
    module='perceiver_io.tasks.classification',
    label_smoothing=0.1,
    mixing=common.off(mixup_alpha=0.2),
  )
  positions = variant.removesuffix('_permuted')
  config.model = config_dict.create(
    inputs=_POSITIONS.get(positions, _POSITIONS['fourier']),
    encoder=dict(
      num_latents=32,
      latent_channels=64,
      num_self_attends_per_block=3,
      scan_layers=False,
      remat_policy='everything_saveable',
      num_blocks=1,
      num_self_attend_heads=4,
      self_attend_widening_factor=1,
      num_cross_attends=1,
      share_weights=True,
    ),
    decoder=dict(query_channels=64, use_query_residual=True),
    num_classes=10,
    dtype='float32',
  )

  permutation = config_dict.placeholder(int)
  if variant.endswith('_permuted'):
    permutation = 0
  config.data = common.data(
    'data.images.mnist5k',
    split='train',
    batch_size=64,
    degrees=10.0,
    translate=2.0,
    scale=(0.9, 1.1),
    side=config_dict.placeholder(int),
    permutation_seed=permutation,
  )
  steps_per_epoch = common.num_batches(
    NUM_TRAIN, config.data.get_ref('batch_size')
  )
  config.num_steps = 100 * steps_per_epoch
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate',
      every_steps=5 * steps_per_epoch,
      data=dict(split='test', batch_size=256),
    ),
    # A picture of what the latents read of some test digits.
    attention=dict(
      module='perceiver_io.evaluators.attention_maps',
      every_steps=common.part(config.get_ref('num_steps')),
      data=dict(split='test'),
      num_images=6,
      num_latents=8,
    ),
  )

  config.optim = common.adamw(lr=2e-3, end_lr=1e-5, warmup_steps=200)
  config.optim.clip_norm = 1.0
  config.checkpoint = common.checkpoint(
    every_steps=5 * steps_per_epoch, best_metric='test/accuracy'
  )
  config.log_every_steps = 31
  config.update(common.parallel())
  config.init_from = common.from_scratch()

  if variant == 'tiny':
    config.model.encoder.num_latents = 4
    config.model.encoder.latent_channels = 16
    config.model.encoder.num_self_attends_per_block = 1
    config.model.inputs.num_bands = 4
    config.num_steps = 12
    config.optim.schedule.warmup_steps = 2
    config.checkpoint.every_steps = 3
    config.log_every_steps = 1
  return config

"""Optical flow: where every pixel of one frame is in the next.

  python train.py --config=configs/perceiver_io/optical_flow.py:demo \
    --workdir=runs/flow

End-point errors published for AutoFlow's 400,000 pairs (Jaegle et al. 2021b,
tables 3 and 16), parameters and operations (two a multiply-add, without folded
projections) counted here:

| variant | inputs | layers, latents | parameters | GFLOPs | Sintel clean | final | KITTI |
|---|---|---|---|---|---|---|---|
| patch3 | 3x3, frames concatenated | 24, 2,048 | 41.1M | 1,887 | 1.81 | 2.42 | 4.98 |
| patch3_separate | 3x3, frames apart | 24, 2,048 | | | 1.78 | 2.70 | 6.19 |
| patch1 | pixels, concatenated | 24, 2,048 | | | 1.91 | 2.56 | 5.39 |
| patch1_separate | pixels, apart | 24, 2,048 | | | 1.72 | 2.63 | 5.93 |
| conv | convolution, concatenated | 24, 2,048 | | | 1.84 | 2.52 | 4.83 |
| conv_separate | convolution, apart | 24, 2,048 | | | 1.90 | 2.53 | 6.66 |
| conv_light | convolution, concatenated | 16, 1,024 | | | 2.06 | 2.67 | 6.12 |
"""  # noqa: E501

import ml_collections
from ml_collections import config_dict

from configs import common

NUM_STEPS = 480 * 400_000 // 512
_IMAGE_SIZE = (368, 496)
_ENCODER = dict(
  num_latents=2048,
  latent_channels=512,
  num_self_attends_per_block=24,
  num_self_attend_heads=16,
)
_PATCHES = dict(channels=64, num_bands=64, concatenate=True, patch_size=3)
_CONV = dict(channels=64, num_bands=64, concatenate=True, batch_norm=True)
# name: function of perceiver_io.models, what differs from its numbers above
_VARIANTS = {
  'patch3': ('optical_flow', _PATCHES),
  'patch3_separate': ('optical_flow', _PATCHES | dict(concatenate=False)),
  'patch1': ('optical_flow', _PATCHES | dict(patch_size=1)),
  'patch1_separate': (
    'optical_flow',
    _PATCHES | dict(patch_size=1, concatenate=False),
  ),
  'conv': ('conv_optical_flow', _CONV),
  'conv_separate': ('conv_optical_flow', _CONV | dict(concatenate=False)),
  'conv_light': ('conv_optical_flow', _CONV),
}
_FIRST = '_first'
_AUGMENTATION = dict(
  severity=1.0,
  brightness=0.4,
  contrast=0.4,
  saturation=0.4,
  hue=0.5 / 3.14,
  asymmetric_prob=0.2,
  erase_prob=0.5,
  erase_sides=(50, 100),
  scale_prob=0.8,
  log_scale=(0.2, 1.0),
  stretch_prob=0.8,
  log_stretch=0.2,
  flip_prob=(0.5, 0.1),
)


def get_config(variant: str = 'patch3') -> ml_collections.ConfigDict:
  if variant in ('demo', 'tiny'):
    return _photographs(variant)
  name = variant.removesuffix(_FIRST)
  if name not in _VARIANTS:
    known = [*_VARIANTS, *(x + _FIRST for x in _VARIANTS), 'demo', 'tiny']
    raise ValueError(f'variant: found {variant!r}; expected one of {known}.')
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = NUM_STEPS
  config.task = 'perceiver_io.tasks.optical_flow'
  function, sizes = _VARIANTS[name]
  config.make_model = f'perceiver_io.models.{function}'
  config.model = _model(_IMAGE_SIZE, _ENCODER, sizes)
  if name == 'conv_light':
    config.model.encoder.update(num_latents=1024, num_self_attends_per_block=16)

  config.reverse_pairs = variant.endswith(_FIRST)
  options = dict(size=_IMAGE_SIZE)
  batch_size = 512
  if config.reverse_pairs:
    batch_size //= 2
  else:
    options['augment'] = _AUGMENTATION
  config.data = common.data(
    'train_lib.data.flow_archives',
    split='autoflow/train',
    batch_size=batch_size,
    **options,
  )
  config.evals = {
    name: _tiled(
      common.examples('train_lib.data.flow_archives', f'{name}/train'),
      _IMAGE_SIZE,
      every_steps=10_000,
      baselines=('zero', 'dis'),
      num_tiles=(2, 3),  # six, as published
    )
    for name in ('sintel_clean', 'sintel_final', 'kitti2015')
  }
  config.optim = common.adamw(lr=4e-4)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.0)
  config.checkpoint = common.checkpoint(
    every_steps=5_000, best_metric='sintel_final/epe', best_mode='min'
  )
  config.log_every_steps = 100
  config.update(common.data_parallel())
  config.init_from = common.from_scratch()
  return config


def _model(image_size, encoder: dict, sizes: dict) -> ml_collections.ConfigDict:
  return config_dict.create(
    image_size=image_size,
    encoder=encoder,
    **sizes,
    dtype=config_dict.placeholder(str),  # to compute in; float32
  )


def _tiled(
  data: dict, tile_size, *, every_steps, baselines, num_tiles=None, **options
) -> dict:
  return dict(
    module='perceiver_io.evaluators.optical_flow',
    every_steps=every_steps,
    data=data,
    tile_size=tile_size,
    min_overlap=20,
    num_tiles=num_tiles or config_dict.placeholder(tuple),
    baselines=baselines,
    num_pictures=4,
    folder='flow',
  )

"""Optical flow: where every pixel of one frame is in the next.

  python train.py --config=configs/perceiver_io/optical_flow.py:demo \
    --workdir=runs/flow

End-point errors published for AutoFlow's 400,000 pairs (Jaegle et al. 2021b,
tables 3 and 16), parameters and operations (two a multiply-add, without folded
projections) counted here:

| variant | parameters | GFLOPs | Sintel clean | final | KITTI |
|---|---|---|---|---|---|
| patch3 | 41,057,134 | 1,887 | 1.81 | 2.42 | 4.98 |
| patch3_separate | 41,720,272 | 3,097 | 1.78 | 2.70 | 6.19 |
| patch1 | 41,054,062 | 1,886 | 1.91 | 2.56 | 5.39 |
| patch1_separate | 41,718,736 | 3,096 | 1.72 | 2.63 | 5.93 |
| conv | 41,102,074 | 464 | 1.84 | 2.52 | 4.83 |
| conv_separate | 41,765,530 | 540 | 1.90 | 2.53 | 6.66 |
| conv_light | 27,953,914 | 147 | 2.06 | 2.67 | 6.12 |

An input is a pixel (patch1), its 3x3 neighbours (patch3) or a place of a
convolution at a quarter of the resolution, upsampled as in RAFT; of both frames
concatenated, or apart. `patch3` is the released model; what the paper counts,
27.9M parameters and 987 GFLOPs, is `patch3` with the 16 layers and 1,024
latents of `conv_light`. Not trained here, nor evaluated: the weights and the
sets were not at hand.

The recipe: LAMB, batches of 512, 480 epochs of 400,000 pairs (of which 40,000
are public), cosine from 4e-4, AutoFlow's augmentation. Before it comes a phase
without any, in which every pair is fed forward and reversed: train
`<variant>_first` and go on from it,
  python train.py --config=configs/perceiver_io/optical_flow.py:patch3 \
    --workdir=runs/patch3 --config.init_from.path=runs/patch3_first
The paper leaves open the loss (here the end-point error), weight decay (none),
warm-up (none), how long the first phase is (here a fifth) and how severity
grows (--config.data.preprocess.augment.severity, from run to run).

`demo`, on photographs under known motion, is sized for two CPU cores. `tiny` is
for tests.
"""

import ml_collections
from ml_collections import config_dict

from configs import common

NUM_STEPS = 480 * 400_000 // 512
_IMAGE_SIZE = (368, 496)
_ENCODER = dict(
  num_latents=2048,
  latent_channels=512,
  num_self_attends_per_block=24,
  scan_layers=False,
  remat_policy='everything_saveable',
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
# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  variant: (
    'v5e:8x8',
    {'model.encoder.scan_layers': True, 'optim.num_microbatches': 8},
  )
  for variant in ('patch3', 'conv')
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


_TILED = dict(
  module='perceiver_io.evaluators.optical_flow',
  min_overlap=20,
  baselines=('zero', 'dis', 'farneback'),
  num_pictures=6,
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
  function, sizes = _VARIANTS[name]
  config.task = dict(
    module='perceiver_io.tasks.optical_flow',
    make_model=f'perceiver_io.models.{function}',
    reverse_pairs=variant.endswith(_FIRST),
  )
  config.model = _model(_IMAGE_SIZE, _ENCODER, sizes)
  if name == 'conv_light':
    config.model.encoder.update(num_latents=1024, num_self_attends_per_block=16)

  options = dict(size=_IMAGE_SIZE)
  batch_size = 512
  if config.task.reverse_pairs:
    config.num_steps //= 5
    batch_size //= 2  # pairs, each of them twice
  else:
    options['augment'] = _AUGMENTATION
  config.data = common.data(
    'data.flow.flow_archives',
    split='autoflow/train',
    batch_size=batch_size,
    **options,
  )
  config.evals = {
    benchmark: dict(
      every_steps=10_000,
      data=common.examples('data.flow.flow_archives', f'{benchmark}/train'),
      num_tiles=(2, 3),  # six, as published
      **_TILED | dict(tile_size=_IMAGE_SIZE),
    )
    for benchmark in ('sintel_clean', 'sintel_final', 'kitti2015')
  }
  config.optim = common.adamw(lr=4e-4)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.0)
  config.checkpoint = common.checkpoint(
    every_steps=5_000, best_metric='sintel_final/epe', best_mode='min'
  )
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config


def _model(image_size, encoder: dict, sizes: dict) -> ml_collections.ConfigDict:
  return config_dict.create(
    image_size=image_size,
    encoder=encoder,
    **sizes,
    dtype=config_dict.placeholder(str),  # to compute in; float32
  )


def _photographs(variant: str) -> ml_collections.ConfigDict:
  """A small convolutional model for frames of 48 x 64 pixels."""
  size = (48, 64)
  batch_size = 16  # pairs, each of them twice
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 2_500
  config.task = dict(
    module='perceiver_io.tasks.optical_flow',
    make_model='perceiver_io.models.conv_optical_flow',
    reverse_pairs=True,
  )
  config.model = _model(
    size,
    dict(
      num_latents=64,
      latent_channels=64,
      num_self_attends_per_block=2,
      scan_layers=False,
      remat_policy='everything_saveable',
      num_self_attend_heads=4,
    ),
    dict(channels=64, num_bands=8, concatenate=True, batch_norm=True),
  )
  pairs = dict(size=size, max_motion=5.0, max_cutouts=3)
  config.data = common.data(
    'data.flow.photo_flow',
    split='train',
    batch_size=batch_size,
    **pairs,
  )
  config.evals = dict(
    test=dict(
      every_steps=500,
      data=common.examples('data.flow.photo_flow', 'test', **pairs),
      num_tiles=config_dict.placeholder(tuple),
      **_TILED | dict(tile_size=size),
    ),
    motorcycle=dict(
      every_steps=500,
      # A twelfth, so that nothing moves by more than 5 pixels.
      data=common.examples('data.flow.stereo_motorcycle', 'test', scale=1 / 12),
      num_tiles=config_dict.placeholder(tuple),
      **_TILED | dict(tile_size=size),
    ),
  )
  config.optim = common.adamw(lr=1e-3, warmup_steps=100)
  config.optim.update(weight_decay=0.01, clip_norm=1.0)
  config.checkpoint = common.checkpoint(
    every_steps=500, best_metric='test/epe', best_mode='min'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  if variant == 'tiny':
    config.model.encoder.update(num_latents=4, latent_channels=16)
    config.model.update(channels=8, num_bands=2)
    config.num_steps, config.log_every_steps = 4, 1
    config.optim.schedule.warmup_steps = 1
    config.checkpoint.every_steps = 2
    for section in (config, *config.evals.values()):
      section.data.source = 'synthetic'
    for section in config.evals.values():
      section.every_steps, section.num_pictures = 2, 1
    config.evals.motorcycle.data.preprocess.scale = 1 / 4
  return config

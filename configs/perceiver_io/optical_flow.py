"""Optical flow: where every pixel of one frame is in the next.

  python train.py --config=configs/perceiver_io/optical_flow.py:demo \
    --workdir=runs/flow

An input is a pixel (`patch1`), its 3x3 neighbours (`patch3`) or a place of a
convolution at a quarter of the resolution, upsampled as in RAFT (`conv`); of
both frames concatenated, or apart (`*_separate`). `conv_light` has 16 layers
and 1,024 latents. `patch3` is the released model; what the paper counts is
`patch3` of the size of `conv_light`. docs/paper-tables.md has what was
published and what each costs (Jaegle et al. 2021b, tables 3 and 16). Not
trained here, nor evaluated: the weights and the sets were not at hand.

The recipe: LAMB, batches of 512, 480 epochs of 400,000 pairs (of which 40,000
are public), cosine from 4e-4, AutoFlow's augmentation. Before it comes a phase
without any, in which every pair is fed forward and reversed: train
`<variant>_first` and go on from it,
  python train.py --config=configs/perceiver_io/optical_flow.py:patch3 \
    --workdir=runs/patch3 --config.init_from.path=runs/patch3_first
The paper leaves open the loss (here the end-point error), weight decay (none),
warm-up (none), how long the first phase is (here a fifth of the 480 epochs,
before them and not of their number) and how severity grows
(--config.data.preprocess.augment.severity, from run to run).

`demo`, on photographs under known motion, is sized for two CPU cores.
`demo_stereo` has a wider model and nine of ten pairs like stereo, and is
measured on a second real pair, too; `data/flow/stereo_aloe.py` says how to get
it. It goes on from `demo_stereo_first`, as above: where many things move at
once from the beginning, such a model learns little. docs/results.md has what
both learn. `tiny` is for tests.
"""

import ml_collections
from ml_collections import config_dict

from configs import common
from perceiver_io import variants

NUM_TRAIN = 400_000
# What the paper only counts has no config.
_VARIANTS = tuple(name for name in variants.FLOW if name != '1024x16')
# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  variant: (
    'v5e:8x8',
    {'model.encoder.scan_layers': True, 'optim.num_microbatches': 8},
  )
  for variant in ('patch3', 'conv')
}
_FIRST, _STEREO = '_first', 'demo_stereo'
VARIANTS = (
  *_VARIANTS,
  *(name + _FIRST for name in _VARIANTS),
  'demo',
  _STEREO,
  _STEREO + _FIRST,
  'tiny',
)
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
  common.check_variant(variant, VARIANTS)
  name = variant.removesuffix(_FIRST)
  if name not in _VARIANTS:
    return _photographs(variant)
  config = ml_collections.ConfigDict()
  config.seed = 0
  sizes = dict(variants.FLOW[name])
  config.task = dict(
    module='perceiver_io.tasks.optical_flow',
    make_model=f'perceiver_io.models.{sizes.pop("kind")}',
    reverse_pairs=variant.endswith(_FIRST),
  )
  config.model = _model(**sizes)

  image_size = config.model.image_size
  options = dict(size=image_size)
  if not config.task.reverse_pairs:
    options['augment'] = _AUGMENTATION
  config.data = common.data(
    'data.flow.flow_archives',
    split='autoflow/train',
    batch_size=256 if config.task.reverse_pairs else 512,
    **options,
  )
  batch_size = config.data.get_ref('batch_size')
  if config.task.reverse_pairs:  # every pair is two
    config.num_steps = common.num_batches(96 * NUM_TRAIN, 2 * batch_size)
  else:
    config.num_steps = common.num_batches(480 * NUM_TRAIN, batch_size)
  config.evals = {
    benchmark: dict(
      every_steps=10_000,
      data=dict(split=f'{benchmark}/train'),
      num_tiles=(2, 3),  # six, as published
      **_TILED | dict(tile_size=image_size),
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


def _like_stereo(config: ml_collections.ConfigDict) -> None:
  """Other training pairs than those of the first phase; the same test pairs."""
  config.num_steps, config.data.batch_size = 13_000, 8
  config.optim.schedule.lr = 8e-4
  config.evals.test.data.preprocess = dict(
    max_motion=5.0, max_cutouts=3, stereo_share=0.0
  )
  config.data.preprocess.update(
    max_motion=7.0,
    max_cutouts=6,
    stereo_share=0.9,
    augment=_AUGMENTATION
    | dict(severity=0.25, erase_prob=0.0, scale_prob=0.0, flip_prob=(0.0, 0.0)),
  )


def _stereo(scene: str, scale: float) -> dict:
  """A pair so small that next to nothing moves by more than 5 pixels."""
  return dict(
    module=f'data.flow.stereo_{scene}',
    split='test',
    preprocess=dict(scale=scale),
  )


def _model(encoder: dict, **sizes) -> ml_collections.ConfigDict:
  return config_dict.create(
    encoder=encoder
    | dict(scan_layers=False, remat_policy='everything_saveable'),
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
    image_size=size,
    encoder=dict(
      num_latents=64,
      latent_channels=64,
      num_self_attends_per_block=2,
      num_self_attend_heads=4,
    ),
    channels=64,
    num_bands=8,
    concatenate=True,
    batch_norm=True,
  )
  config.data = common.data(
    'data.flow.photo_flow',
    split='train',
    batch_size=batch_size,
    size=size,
    max_motion=5.0,
    max_cutouts=3,
  )
  tiled = _TILED | dict(
    every_steps=500,
    num_tiles=config_dict.placeholder(tuple),
    tile_size=size,
  )
  config.evals = dict(
    test=tiled | dict(data=dict(split='test')),
    motorcycle=tiled | dict(data=_stereo('motorcycle', 1 / 12)),
  )
  config.optim = common.adamw(lr=1e-3, warmup_steps=100)
  config.optim.update(weight_decay=0.01, clip_norm=1.0)
  config.checkpoint = common.checkpoint(
    every_steps=500, best_metric='test/epe', best_mode='min'
  )
  config.log_every_steps = 50
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  if variant.startswith(_STEREO):
    config.num_steps = 4_000
    config.model.encoder.update(
      num_latents=128, latent_channels=128, num_self_attends_per_block=3
    )
    # No smaller than a tile: what is beyond an image would be made up.
    config.evals.motorcycle.data.preprocess.scale = 1 / 10
    config.evals.aloe = tiled | dict(data=_stereo('aloe', 1 / 20))
  if variant == _STEREO:
    _like_stereo(config)
  if variant == 'tiny':
    config.model.encoder.update(num_latents=4, latent_channels=16)
    config.model.update(channels=8, num_bands=2)
    config.num_steps, config.log_every_steps = 4, 1
    config.optim.schedule.warmup_steps = 1
    config.checkpoint.every_steps = 2
    config.data.source = 'synthetic'
    for section in config.evals.values():
      section.every_steps, section.num_pictures = 2, 1
    config.evals.motorcycle.data.preprocess.scale = 1 / 4
  return config

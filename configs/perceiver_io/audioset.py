"""Sounds, with or without video (Jaegle et al. 2021b, section 4.7).

  python train.py --config=configs/perceiver_io/audioset.py:demo \
    --workdir=runs/audio

`raw` hears samples and sees video, `mel` hears a spectrogram and sees video,
`raw_audio` and `mel_audio` only hear; docs/paper-tables.md has what was
published. 12 layers, 512 latents, 100 epochs, clips of 32 frames, 16 of them
averaged at test. Not trained here. The paper leaves open the optimizer
(ImageNet's here), the batch, the bands of positions in sound, and the
spectrogram but for its 4,800 inputs (60 frames of 80 mel bands here). The
dropout of Jaegle et al. 2021a: video 30 %, a spectrogram beside it 10 %.

`demo`: the language of spoken letters and syllables, 20 of them; and
`demo_mixtures`, of two speakers at once. Both print a linear model's result.
`tiny` is for tests.
"""

import ml_collections

from configs import common
from perceiver_io import variants

NUM_TRAIN = 1_700_000
_placeholder = ml_collections.config_dict.placeholder
# 60 frames of 80 bands: 4,800 inputs, as published.
_MEL = dict(hop=1_024, window=2_048, num_bands=80)
_SPEC_AUGMENT = dict(
  num_time_masks=2, max_time=20, num_band_masks=2, max_bands=10
)
_SPLITS = {
  seen: (f'{name}/unbalanced_train_segments', f'{name}/eval_segments')
  for seen, name in ((True, 'audio_video'), (False, 'audio'))
}
_VARIANTS = ('raw', 'mel', 'raw_audio', 'mel_audio')
# What `python -m tools.compile_check` compiles, and with which options.
TPU_TOPOLOGIES = {
  variant: ('v5e:8x8', {'model.encoder.scan_layers': True})
  for variant in ('raw', 'mel')
}
_DEMOS = {'demo': '', 'demo_mixtures': 'mixtures/', 'tiny': ''}
VARIANTS = (*_VARIANTS, *_DEMOS)


def get_config(variant: str = 'raw') -> ml_collections.ConfigDict:
  common.check_variant(variant, VARIANTS)
  if variant in _VARIANTS:
    return _audioset(variants.SOUND_CLASSIFIERS[variant])
  config = _klettres(_DEMOS[variant])
  return _make_tiny(config) if variant == 'tiny' else config


def _audioset(sizes: dict) -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict()
  config.seed = 0
  modalities = sizes['modalities']
  mel = modalities['audio']['kind'] == 'spectrogram'
  config.task = dict(
    module='perceiver_io.tasks.tagging',
    dropout=_dropout(modalities),
    input_shift=3.0 if mel else 0.0,
    input_scale=0.5 if mel else 1.0,
  )
  config.model = dict(sizes, dtype=_placeholder(str))
  config.model.encoder.update(
    scan_layers=False, remat_policy='everything_saveable'
  )

  config.data, config.evals = _data(
    'data.sound.audioset',
    splits=_SPLITS['image' in modalities],
    batch_size=1_024,
    num_classes=527,
    rate=48_000,
    num_samples=61_440,
    num_clips=16,
    spectrogram=ml_collections.ConfigDict(_MEL) if mel else common.off(**_MEL),
    spec_augment=common.off(**_SPEC_AUGMENT),
    num_frames=32 if 'image' in modalities else _placeholder(int),
  )
  steps_per_epoch = common.num_batches(
    NUM_TRAIN, config.data.get_ref('batch_size')
  )
  config.num_steps = 100 * steps_per_epoch
  config.evals.test.every_steps = 10 * steps_per_epoch
  config.evals.test.data.batch_size = 64
  config.optim = common.adamw(lr=2e-3)
  config.optim.update(name='lamb', eps=1e-6, weight_decay=0.1, clip_norm=10.0)
  config.optim.schedule.flat_steps = config.get_ref('num_steps') // 2
  config.checkpoint = common.checkpoint(
    common.part(steps_per_epoch), best_metric='test/map'
  )
  config.log_every_steps = 100
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config


def _dropout(modalities) -> dict[str, float]:
  """How often a modality is hidden from training, where there are two."""
  if 'image' not in modalities:
    return {}
  mel = modalities['audio']['kind'] == 'spectrogram'
  return {'image': 0.3} | ({'audio': 0.1} if mel else {})


def _klettres(kind: str) -> ml_collections.ConfigDict:
  """Languages of spoken syllables; `kind` is '' or 'mixtures/'."""
  config = _audioset(variants.SOUND_CLASSIFIERS['mel_audio'])
  config.num_steps = 2_000
  config.model.modalities = dict(
    audio=dict(kind='spectrogram_frames', frames_per_patch=2, num_bands=16)
  )
  config.model.encoder.update(
    num_latents=32,
    latent_channels=128,
    num_self_attends_per_block=3,
    num_self_attend_heads=4,
  )
  config.model.update(num_classes=20, query_channels=128)
  config.data, config.evals = _data(
    'data.sound.klettres',
    splits=(f'{kind}train', f'{kind}test'),
    batch_size=64,
    num_classes=20,
    rate=16_000,
    num_samples=32_000,
    num_clips=16,
    spectrogram=dict(hop=320, window=1_024, num_bands=64),
    spec_augment=dict(_SPEC_AUGMENT),
    num_frames=_placeholder(int),
  )
  config.evals.test.every_steps = 500
  config.evals.linear = dict(
    module='perceiver_io.evaluators.linear_sounds',
    every_steps=common.part(config.get_ref('num_steps')),
    data=dict(split=f'{kind}test'),
    fit_split=config.data.split,
    num_fitted=5_000,
  )
  config.optim = common.adamw(lr=1e-3, warmup_steps=100)
  config.optim.clip_norm = 1.0
  config.checkpoint.every_steps = 500
  config.log_every_steps = 50
  return config


def _make_tiny(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  config.num_steps, config.log_every_steps = 4, 1
  config.optim.schedule.warmup_steps = 1
  config.checkpoint.every_steps = 2
  config.data.source, config.data.preprocess.num_clips = 'synthetic', 2
  return config


def _data(
  module: str, splits: tuple, batch_size: int, **preprocess
) -> tuple[dict, dict]:
  """Sections `data` and `evals`."""
  evaluator = dict(
    module='perceiver_io.evaluators.mean_average_precision',
    every_steps=0,
    data=dict(split=splits[1]),
  )
  return (
    common.data(module, splits[0], batch_size, **preprocess),
    dict(test=evaluator),
  )

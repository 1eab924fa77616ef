"""The sizes of the published models, as plain data.

Jaegle et al. 2021b (Perceiver IO, arXiv 2107.14795): section 4 and tables 7,
11, 16. What the papers leave open is as in DeepMind's programs. A size is
written by the argument that takes it, of what the comments name.
"""

# Of `models.masked_language_modelling`.
_BASE_BYTES = dict(
  vocab_size=262,
  max_length=2048,
  token_channels=768,
  num_latents=256,
  latent_channels=1280,
  qk_channels=256,
  num_heads=8,
  num_self_attends=26,
)
LANGUAGE = {
  'base_bytes': _BASE_BYTES,
  'base_sentencepiece': _BASE_BYTES | dict(vocab_size=32_000, max_length=512),
  'plus_plus': _BASE_BYTES | dict(latent_channels=1536, num_self_attends=40),
  'bytes_128x1920': _BASE_BYTES | dict(num_latents=128, latent_channels=1920),
  'bytes_512x896': _BASE_BYTES | dict(num_latents=512, latent_channels=896),
}

_LEARNED_PIXELS = dict(
  kind='learned_pixels',
  image_size=(224, 224),
  channels=256,
  position_channels=256,
  projected_position_channels=256,
  interpolate=False,
)
_FOURIER_PIXELS = dict(
  kind='fourier_pixels', max_resolution=(224, 224), num_bands=64
)
_CONV_FEATURES = dict(
  kind='conv_features', max_resolution=(56, 56), num_bands=64, channels=64
)
_CONFIG_A = dict(
  num_latents=512,
  latent_channels=1024,
  num_self_attends_per_block=6,
  num_blocks=8,
  num_self_attend_heads=8,
  self_attend_widening_factor=1,
  num_cross_attends=1,
  share_weights=True,
)
_CONFIG_B = _CONFIG_A | dict(
  num_self_attends_per_block=16, num_blocks=1, self_attend_widening_factor=4
)
_DECODER = dict(query_channels=1024, use_query_residual=True)
_NO_QUERY_RESIDUAL = dict(query_channels=1024, use_query_residual=False)


def _image_classifier(inputs, encoder, decoder):
  return dict(inputs=inputs, encoder=encoder, decoder=decoder, num_classes=1000)


# Of `models.image_classifier`; without a decoder the original Perceivers
# (Jaegle et al. 2021a).
IMAGE_CLASSIFIERS = {
  'fourier': _image_classifier(_FOURIER_PIXELS, _CONFIG_A, _DECODER),
  'learned': _image_classifier(_LEARNED_PIXELS, _CONFIG_A, _NO_QUERY_RESIDUAL),
  'conv': _image_classifier(_CONV_FEATURES, _CONFIG_A, _DECODER),
  'fourier_jft': _image_classifier(
    _FOURIER_PIXELS | dict(channels=256), _CONFIG_B, _DECODER
  ),
  'conv_jft': _image_classifier(_CONV_FEATURES, _CONFIG_B, _DECODER),
  'original_learned': _image_classifier(_LEARNED_PIXELS, _CONFIG_A, None),
  'original_fourier': _image_classifier(_FOURIER_PIXELS, _CONFIG_A, None),
  'original_conv': _image_classifier(_CONV_FEATURES, _CONFIG_A, None),
  **{
    f'original_{name}': _image_classifier(
      _FOURIER_PIXELS, _CONFIG_A | options, None
    )
    for name, options in (
      ('repeated', dict(num_cross_attends=8)),
      ('repeated_first', dict(num_cross_attends=8, cross_attends_first=True)),
      ('repeated_2', dict(num_cross_attends=2)),
      ('repeated_4', dict(num_cross_attends=4)),
      ('unshared', dict(num_cross_attends=8, share_weights=False)),
    )
  },
}

_FLOW_ENCODER = dict(
  num_latents=2048,
  latent_channels=512,
  num_self_attends_per_block=24,
  num_self_attend_heads=16,
)
_LIGHT = _FLOW_ENCODER | dict(num_latents=1024, num_self_attends_per_block=16)
_PATCHES = dict(
  kind='optical_flow',
  image_size=(368, 496),
  encoder=_FLOW_ENCODER,
  channels=64,
  num_bands=64,
  concatenate=True,
  patch_size=3,
)
_CONV = dict(
  kind='conv_optical_flow',
  image_size=(368, 496),
  encoder=_FLOW_ENCODER,
  channels=64,
  num_bands=64,
  concatenate=True,
  batch_norm=True,
)
# Of the function of `models` that `kind` names. 1024x16 has what the paper
# counts; patch3 is what was released.
FLOW = {
  'patch3': _PATCHES,
  '1024x16': _PATCHES | dict(encoder=_LIGHT),
  'patch3_separate': _PATCHES | dict(concatenate=False),
  'patch1': _PATCHES | dict(patch_size=1),
  'patch1_separate': _PATCHES | dict(patch_size=1, concatenate=False),
  'conv': _CONV,
  'conv_separate': _CONV | dict(concatenate=False),
  'conv_light': _CONV | dict(encoder=_LIGHT),
}


def _autoencoder(num_latents):
  return dict(
    video_size=(16, 224, 224),
    num_audio_samples=30_720,
    num_classes=700,
    encoder=dict(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=8,
    ),
    spatial_patch=4,
    samples_per_patch=16,
    image_bands=32,
    audio_bands=192,
    label_query_channels=1024,
    output_channels=512,
  )


# Of `models.multimodal`.
AUTOENCODERS = {str(n): _autoencoder(n) for n in (784, 392, 196)}

_VIDEO = dict(kind='video', spatial=8, temporal=2, num_bands=16)
_WAVEFORM = dict(kind='waveform', samples_per_patch=128, num_bands=64)
_SPECTROGRAM = dict(kind='spectrogram', num_bands=64)


def _sound_classifier(latent_channels, query_channels=1024, **modalities):
  return dict(
    modalities=modalities,
    encoder=dict(
      num_latents=512,
      latent_channels=latent_channels,
      num_self_attends_per_block=12,
      num_self_attend_heads=8,
    ),
    num_classes=527,
    query_channels=query_channels,
  )


# Of `audio_visual.classifier`; the papers leave the bands of positions in
# sound open. Without a query the original Perceiver.
SOUND_CLASSIFIERS = {
  'raw': _sound_classifier(512, audio=_WAVEFORM, image=_VIDEO),
  'mel': _sound_classifier(1024, audio=_SPECTROGRAM, image=_VIDEO),
  'raw_audio': _sound_classifier(512, audio=_WAVEFORM),
  'mel_audio': _sound_classifier(1024, audio=_SPECTROGRAM),
  'original_raw': _sound_classifier(512, None, audio=_WAVEFORM, image=_VIDEO),
  'original_mel': _sound_classifier(
    512, None, audio=_SPECTROGRAM, image=_VIDEO
  ),
}

# Of `entities.make_perceiver` (appendix B), which leaves the latents' channels
# open.
ENTITY_ENCODER = dict(
  num_latents=32,
  latent_channels=512,
  num_self_attends=3,
  num_self_attend_heads=8,
  widening_factor=1,
)

# What `perceiver_io.load` makes: '<kind>:<name>'; a kind alone is its first.
VARIANTS = {
  f'{kind}:{name}': sizes
  for kind, models in (
    ('mlm', LANGUAGE),
    ('imagenet', IMAGE_CLASSIFIERS),
    ('optical_flow', FLOW),
    ('kinetics', AUTOENCODERS),
    ('audioset', SOUND_CLASSIFIERS),
  )
  for name, sizes in models.items()
}


def full_name(variant: str) -> str:
  """A key of VARIANTS; 'mlm' is 'mlm:base_bytes'.

  Raises:
    ValueError: if there is no such variant.
  """
  for name in VARIANTS:
    if variant in (name, name.partition(':')[0]):
      return name
  raise ValueError(
    f'variant: found {variant!r}; expected one of {sorted(VARIANTS)}.'
  )

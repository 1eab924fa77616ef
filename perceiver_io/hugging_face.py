"""Sizes of a model from the config.json of Hugging Face's Perceivers.

What the file leaves out is as in `transformers.PerceiverConfig`.
"""

import json
from collections.abc import Mapping
from typing import Any

_DEFAULTS = dict(
  num_latents=256,
  d_latents=1280,
  d_model=768,
  num_blocks=1,
  num_self_attends_per_block=26,
  num_self_attention_heads=8,
  num_cross_attention_heads=8,
  qk_channels=None,
  v_channels=None,
  cross_attention_shape_for_attention='kv',
  self_attention_widening_factor=1,
  cross_attention_widening_factor=1,
  use_query_residual=True,
  vocab_size=262,
  max_position_embeddings=2048,
  image_size=56,
  train_size=[368, 496],
  num_frames=16,
  audio_samples_per_frame=1920,
  samples_per_patch=16,
  output_num_channels=512,
  id2label=('0', '1'),
)
_IMAGES = 'PerceiverForImageClassification'
# Our variants -> Hugging Face's classes.
_ARCHITECTURES = {
  'mlm': 'PerceiverForMaskedLM',
  'imagenet:learned': f'{_IMAGES}Learned',
  'imagenet:fourier': f'{_IMAGES}Fourier',
  'imagenet:conv': f'{_IMAGES}ConvProcessing',
  'optical_flow:patch3': 'PerceiverForOpticalFlow',
  'kinetics': 'PerceiverForMultimodalAutoencoding',
}
_SPATIAL_PATCH = 4  # of the autoencoder's frames


def sizes(
  path: str, variant: str, published: Mapping[str, Any]
) -> dict[str, Any]:
  """The sizes in a config.json.

  Args:
    path: of the file.
    variant: a key of `variants.VARIANTS`.
    published: the variant's sizes, which the result is like.

  Raises:
    ValueError: naming the file and the field whose value this variant cannot
      have.
  """
  with open(path, encoding='utf-8') as file:
    try:
      found = json.load(file)
    except json.JSONDecodeError as e:
      raise ValueError(f'{path}: is not JSON: {e}.') from e
  if not isinstance(found, dict):
    raise ValueError(
      f'{path}: holds a {type(found).__name__}, expected named options.'
    )
  kind = variant.partition(':')[0]
  architecture = _ARCHITECTURES.get(variant, _ARCHITECTURES.get(kind))
  if architecture is None:
    raise ValueError(f'{path}: found, but Hugging Face has no {variant}.')
  config = _DEFAULTS | found

  def expect(**options):
    for field, expected in options.items():
      value = config.get(field, expected)
      if value != expected:
        raise ValueError(
          f'{path}: {field}: found {value!r}; expected {expected!r} for '
          f'{variant}.'
        )

  expect(model_type='perceiver', architectures=[architecture])
  expect(use_query_residual=True, cross_attention_widening_factor=1)
  if kind == 'mlm':
    # The decoder's heads are 8 of 32 channels, whatever the file says.
    expect(
      num_blocks=1,
      num_self_attention_heads=8,
      num_cross_attention_heads=8,
      qk_channels=256,
      v_channels=config['d_latents'],
      self_attention_widening_factor=1,
    )
    return dict(
      vocab_size=config['vocab_size'],
      max_length=config['max_position_embeddings'],
      token_channels=config['d_model'],
      num_latents=config['num_latents'],
      latent_channels=config['d_latents'],
      qk_channels=config['qk_channels'],
      num_heads=config['num_self_attention_heads'],
      num_self_attends=config['num_self_attends_per_block'],
    )
  expect(qk_channels=None, v_channels=None)
  expect(cross_attention_shape_for_attention='kv')
  encoder = published['encoder'] | dict(
    num_latents=config['num_latents'],
    latent_channels=config['d_latents'],
    num_self_attends_per_block=config['num_self_attends_per_block'],
    num_blocks=config['num_blocks'],
    num_self_attend_heads=config['num_self_attention_heads'],
    num_cross_attend_heads=config['num_cross_attention_heads'],
    self_attend_widening_factor=config['self_attention_widening_factor'],
  )
  changed = dict(encoder=encoder)
  if kind == 'imagenet':
    changed |= _image_classifier(config, published)
  elif kind == 'optical_flow':
    changed |= dict(image_size=tuple(config['train_size']))
  elif kind == 'kinetics':
    changed |= _autoencoder(config)
    expect(output_shape=[1, *changed['video_size']])
  return dict(published) | changed


def _image_classifier(config, published):
  changed = dict(
    num_classes=len(config['id2label']),
    decoder=published['decoder'] | dict(query_channels=config['d_latents']),
  )
  if 'image_size' in published['inputs']:
    side = config['image_size']
    size = (side, side) if isinstance(side, int) else tuple(side)
    changed['inputs'] = published['inputs'] | dict(image_size=size)
  return changed


def _autoencoder(config):
  side = config['image_size'] * _SPATIAL_PATCH
  return dict(
    video_size=(config['num_frames'], side, side),
    num_audio_samples=config['num_frames'] * config['audio_samples_per_frame'],
    num_classes=len(config['id2label']),
    spatial_patch=_SPATIAL_PATCH,
    samples_per_patch=config['samples_per_patch'],
    label_query_channels=config.get('_label_trainable_num_channels', 1024),
    output_channels=config['output_num_channels'],
  )

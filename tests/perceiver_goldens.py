"""Models, weights and arrays of the golden data in golden/perceiver_io."""

import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from perceiver_io import models, names

FOLDER = pathlib.Path(__file__).parent / 'golden' / 'perceiver_io'


def load(name):
  """The arrays and the description of a golden model."""
  arrays = dict(np.load(FOLDER / f'{name}.npz'))
  return arrays, json.loads((FOLDER / f'{name}.config.json').read_text())


def make_model(name, **options):
  """The model of a golden configuration."""
  config = load(name)[1]['config']
  sizes = config['encoder']
  if name == 'mlm':
    return models.masked_language_modelling(
      vocab_size=config['vocab_size'],
      max_length=config['max_seq_len'],
      token_channels=config['d_model'],
      num_latents=sizes['z_index_dim'],
      latent_channels=sizes['num_z_channels'],
      qk_channels=sizes['qk_channels'],
      num_heads=sizes['num_self_attend_heads'],
      num_self_attends=sizes['num_self_attends_per_block'],
      **options,
    )
  encoder = models.encoder(
    num_latents=sizes['z_index_dim'],
    latent_channels=sizes['num_z_channels'],
    num_self_attends_per_block=sizes['num_self_attends_per_block'],
    num_blocks=sizes['num_blocks'],
    num_self_attend_heads=sizes['num_self_attend_heads'],
    **options,
  )
  if name == 'flow':
    return models.optical_flow(
      image_size=(6, 8), encoder=encoder, channels=10, num_bands=5
    )
  return models.classifier(
    inputs={
      'imagenet_learned': models.learned_pixels((6, 8), 13, 12, 14),
      'imagenet_fourier': models.fourier_pixels((6, 8), 5),
    }[name],
    encoder=encoder,
    num_classes=config['num_classes'],
    query_channels=32,
    use_query_residual=config['decoder']['use_query_residual'],
  )


def weight(key, shape):
  """The weight that the golden data's recipe gives a Haiku name."""
  rng = np.random.default_rng(zlib.crc32(key.encode()))
  g = np.asarray(rng.standard_normal(shape)).astype(np.float32)
  match key.split('/'):
    case [*_, 'w']:
      return g * np.float32(1 / np.sqrt(np.prod(shape[:-1])))
    case [*_, 'b' | 'bias' | 'offset']:
      return g * np.float32(0.1)
    case [*_, 'scale']:
      return 1 + g * np.float32(0.1)
    case [*_, 'pos_embs']:
      return g * np.float32(0.02)
    case [*_, 'embeddings']:
      return g * np.float32(1 / np.sqrt(shape[-1]))
    case [*_, 'mean_ema', 'average' | 'hidden']:
      return g * np.float32(0.1)
    case [*_, 'var_ema', 'average' | 'hidden']:
      return 1 + abs(g) * np.float32(0.1)
    case [*_, 'counter']:
      return np.zeros(shape, np.int32)
  raise ValueError(key)


def weights(described):
  """Weights of [name, shape] pairs, by name."""
  return {name: weight(name, tuple(shape)) for name, shape in described}


def variables(model, described, *args, **kwargs):
  """The model's variables with the golden weights."""
  expected = jax.eval_shape(
    lambda: model.init(jax.random.key(0), *args, **kwargs)
  )
  return names.from_haiku(
    weights(described['params']), weights(described['state']), expected
  )


def as_dtype(tree, dtype):
  """Floating-point leaves as `dtype`."""
  return jax.tree.map(
    lambda x: (
      jnp.asarray(x, dtype)
      if jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating)
      else jnp.asarray(x)
    ),
    tree,
  )

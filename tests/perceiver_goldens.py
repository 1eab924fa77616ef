"""Weights and arrays of the golden data in tests/golden/perceiver_io."""

import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from perceiver_io import pretrained

FOLDER = pathlib.Path(__file__).parent / 'golden' / 'perceiver_io'


def load(name):
  """The arrays and the description of a golden model."""
  arrays = dict(np.load(FOLDER / f'{name}.npz'))
  return arrays, json.loads((FOLDER / f'{name}.config.json').read_text())


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
  return pretrained.from_haiku(
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

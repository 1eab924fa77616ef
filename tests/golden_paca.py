"""The weights and images of the goldens in tests/golden/paca_vit.

Neither is stored: each array is drawn with numpy from a generator that is
seeded by its name. The gains make the softmaxes peaked, so that a wrong
attention moves the logits. The goldens are what the authors' PyTorch code
returned for them.
"""

import pathlib
import re
import zlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import classifier, names, segmentation
from tools import published_models
from train_lib import cost

FOLDER = pathlib.Path(__file__).parent / 'golden' / 'paca_vit'

_GAINS = [  # (pattern of the name, number of axes, gain)
  (r'to_clusters\d\.weight$', 4, 2.5),
  (r'paca_teacher\..*weight$', 4, 1.25),
  (r'attn\.[qk]\.weight$', 2, 2.0),
  (r'clustering\.clustering\.4\.weight$', 4, 5.0),
  (r'clustering\.clustering\.2\.weight$', 2, 4.0),
  (r'decode_head\.clustering\.1\.weight$', 4, 10.0),
  (r'decode_head\.q\.0\.conv\.weight$', 4, 3.0),
  (r'decode_head\.k\.0\.weight$', 2, 3.0),
]


def by_tier(variants):
  """Parameters of a test: the larger sizes are the second tier's."""
  return [
    pytest.param(x, marks=[] if 'tiny' in x else [pytest.mark.full])
    for x in variants
  ]


def normal(name, shape):
  rng = np.random.default_rng(zlib.crc32(name.encode()))
  return rng.standard_normal(tuple(shape)).astype(np.float32)


def tensor(name, shape):
  """The golden tensor of a name in the authors' state dict, float32."""
  x = normal(name, shape)
  if name.endswith('running_mean'):
    return x * np.float32(0.1)
  if name.endswith('running_var'):
    return np.float32(1) + np.abs(x) * np.float32(0.1)
  if x.ndim >= 2:
    gain = next(
      (g for p, n, g in _GAINS if n == x.ndim and re.search(p, name)), 1.0
    )
    return x * np.float32(gain / np.sqrt(np.prod(x.shape[1:])))
  if name.endswith('.weight'):
    return np.float32(1) + x * np.float32(0.1)
  return x * np.float32(0.1)


def images(batch, height, width, dtype=np.float32):
  """[B, H, W, 3]; drawn as the authors' [B, 3, H, W]."""
  name = f'input/{batch}x3x{height}x{width}'
  x = normal(name, (batch, 3, height, width))
  return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).astype(dtype)


def state_dict(shapes):
  """The golden tensors for the authors' names and shapes."""
  return {
    name: tensor(name, shape)
    for name, shape in shapes.items()
    if not name.endswith(('num_batches_tracked', 'blur_filter'))
  }


def shapes_of(model):
  """`model`'s variables as ShapeDtypeStructs."""
  images = jnp.zeros((1, 32, 32, model.backbone.in_channels))
  return jax.eval_shape(lambda: model.init(jax.random.key(0), images, False))


def counts(model, side):
  """Parameters and multiply-adds of an image, without an auxiliary head."""
  image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  published = published_models.Published(model, (image,), {'train': False})
  variables, multiply_adds = cost.init_and_multiply_adds(
    published.init_with_output, image
  )
  return cost.num_params(variables['params']), multiply_adds


def random_variables(shapes):
  """Arrays for ShapeDtypeStructs, without compiling an initialisation.

  Biases are not 0 and scales differ, so that no test can overlook them;
  variances are positive.
  """
  flat = flax.traverse_util.flatten_dict(shapes, sep='/')
  values = {}
  for path, x in flat.items():
    value = normal(path, x.shape) / np.sqrt(max(1, np.prod(x.shape[:-1])))
    if path.endswith(('scale', 'var')):
      value = 1 + 0.1 * np.abs(value)
    values[path] = value.astype(x.dtype)
  return flax.traverse_util.unflatten_dict(values, sep='/')


def model_and_variables(variant, dtype='float32'):
  """A published classifier with golden weights, both in `dtype`."""
  config = models.model(variant)
  config.dtype = dtype
  config.drop_path_rate = 0.0
  model = classifier.make_classifier(config)
  return model, golden_variables(model, dtype)


def segmenter_and_variables(variant, dtype='float32'):
  """A published segmenter of 150 classes with golden weights."""
  config = models.paca_segmenter(variant, 150)
  config.dtype = dtype
  config.drop_path_rate = 0.0
  config.decode_head.dropout_rate = 0.0
  model = segmentation.make_segmenter(config)
  return model, golden_variables(model, dtype)


def golden_variables(model, dtype):
  shapes = shapes_of(model)
  theirs = jax.eval_shape(names.to_state_dict, shapes)
  wanted = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, np.dtype(dtype)), shapes
  )
  weights = state_dict({name: x.shape for name, x in theirs.items()})
  return names.from_state_dict(weights, wanted)


def jit(fn):
  """`jax.jit` that spends half the time compiling: tests run once."""
  return jax.jit(fn, compiler_options={'xla_backend_optimization_level': 1})


def load(name):
  with np.load(FOLDER / f'{name}.npz') as data:
    return dict(data)

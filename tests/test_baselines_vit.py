"""The plain ViT against loops in float64, whatever its attention is."""

import functools
import math

import jax
import numpy as np
import pytest
from scipy import special

from baselines import vit
from paca_vit import attention, clustering
from tests import golden_paca
from train_lib import cost

SIZES = dict(num_classes=5, patch_size=2, channels=8, num_layers=2)
HEADS, GRID, CLUSTERS = 2, (2, 3), 4
LINEAR = functools.partial(
  clustering.LinearClustering, num_clusters=CLUSTERS, dtype=np.float64
)


def linear(p, x):
  return x @ p['kernel'] + p['bias']


def norm(p, x):
  x = x - x.mean(-1, keepdims=True)
  x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + 1e-6)
  return x * p['scale'] + p['bias']


def attend(q, k, v):
  """q [N, C] to k, v [M, C], head by head and query by query."""
  out = np.zeros_like(q)
  width = q.shape[1] // HEADS
  for h in range(HEADS):
    part = slice(h * width, (h + 1) * width)
    for i in range(len(q)):
      weights = special.softmax(k[:, part] @ q[i, part] / math.sqrt(width))
      out[i, part] = weights @ v[:, part]
  return out


def full(p, x):
  q, k, v = (linear(p[name], x) for name in ('query', 'key', 'value'))
  return linear(p['output'], attend(q, k, v))


def paca(p, x):
  patches = x[-math.prod(GRID) :]
  logits = patches @ p['clustering']['fc']['kernel']
  p = p['attention']
  clusters = np.stack(
    [special.softmax(logits[:, m]) @ patches for m in range(CLUSTERS)]
  )
  clusters = norm(p['cluster_norm'], clusters)
  out = attend(
    linear(p['query'], x),
    linear(p['key'], clusters),
    linear(p['value'], clusters),
  )
  return linear(p['out'], out)


def linformer(p, x):
  q, k, v = (linear(p[name], x) for name in ('query', 'key', 'value'))
  k = p['attend']['key_projection'] @ k
  v = p['attend']['value_projection'] @ v
  return linear(p['output'], attend(q, k, v))


ATTENTIONS = {  # beside their definitions
  'full': (vit.SelfAttention(HEADS), full),
  'paca': (
    attention.PacaSelfAttention(HEADS, LINEAR, GRID, dtype=np.float64),
    paca,
  ),
  'linformer': (vit.SelfAttention(HEADS, vit.Linformer(rank=3)), linformer),
}


def naive(p, image, attention, class_token):
  """Logits of one image [height, width, 3]."""
  size, tokens = SIZES['patch_size'], []
  for i in range(0, image.shape[0], size):
    for j in range(0, image.shape[1], size):
      patch = image[i : i + size, j : j + size, :, None]
      patches = p['patches']
      tokens.append((patch * patches['kernel']).sum((0, 1, 2)))
      tokens[-1] += patches['bias']
  if class_token:
    tokens.insert(0, p['class_token'][0])
  x = np.stack(tokens) + p['positions']
  for i in range(SIZES['num_layers']):
    block = p[f'block_{i}']
    x = x + attention(block['self_attention'], norm(block['norm'], x))
    hidden = linear(block['mlp_hidden'], norm(block['mlp_norm'], x))
    hidden = hidden * special.ndtr(hidden)
    x = x + linear(block['mlp_output'], hidden)
  x = norm(p['norm'], x)
  return linear(p['head'], x[0] if class_token else x.mean(0))


@pytest.mark.parametrize('class_token', [True, False])
@pytest.mark.parametrize('name', ATTENTIONS)
def test_logits(name, class_token):
  module, definition = ATTENTIONS[name]
  model = vit.ViT(module, class_token=class_token, **SIZES)
  rng = np.random.default_rng(0)
  images = rng.standard_normal((2, 4, 6, 3))
  with jax.enable_x64(True):
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda x: rng.standard_normal(x.shape), shapes)
    found = golden_paca.jit(model.apply)(variables, images)
  expected = [
    naive(variables['params'], image, definition, class_token)
    for image in images
  ]
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def count(model, size=224):
  images = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  return (
    cost.num_params(variables),
    cost.multiply_adds(model.apply, variables, images),
  )


def test_deit_small():
  params, macs = count(vit.ViT())
  assert params == 22_050_664  # published
  assert macs == pytest.approx(4.6e9, rel=1e-3)  # published, 4.6G


@pytest.mark.parametrize(
  'attention, size, named',
  [
    (vit.SelfAttention(num_heads=3), 4, 'num_heads'),
    (attention.PacaSelfAttention(HEADS, LINEAR, (3, 3)), 4, 'grid'),
    (vit.SelfAttention(HEADS), 5, 'patch_size'),
  ],
)
def test_what_does_not_fit_is_refused(attention, size, named):
  model = vit.ViT(attention, class_token=False, **SIZES)
  images = np.zeros((1, size, size, 3), np.float32)
  with pytest.raises(ValueError, match=named):
    jax.eval_shape(model.init, jax.random.key(0), images)

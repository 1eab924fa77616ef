"""The plain ViT against loops in float64, whatever its attention is."""

import functools
import math

import jax
import numpy as np
import pytest
from scipy import special

from baselines import convolution, vit
from baselines.tasks import classification
from configs.baselines import vit as configs
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


@pytest.mark.parametrize('variant', configs.VARIANTS)
def test_attentions_by_name_have_the_sizes_of_their_config(variant):
  """And differ in nothing else: what attention itself owns."""
  config = configs.get_config(variant)
  task = classification.make_task(config.task, config.model)
  image = jax.ShapeDtypeStruct((1, 28, 28, 1), np.float32)
  params = jax.eval_shape(task.model.init, jax.random.key(0), image)['params']
  logits = jax.eval_shape(task.model.apply, {'params': params}, image)
  assert logits.shape == (1, 10)
  if variant == 'convolution':
    return
  tokens = (28 // config.model.patch_size) ** 2
  assert params['positions'].shape == (tokens, config.model.channels)
  own = params['block_0']['self_attention']
  if variant.startswith('paca_'):
    clusters = int(variant.removeprefix('paca_'))
    assert own['clustering']['to_clusters']['kernel'].shape[-1] == clusters
  elif variant == 'linformer':
    assert own['attend']['key_projection'].shape == (64, tokens)
  else:
    assert own.keys() == {'query', 'key', 'value', 'output'}


def test_a_convolution_sees_its_neighbours_alone():
  model = convolution.ConvNet(channels=(4,), num_classes=3)
  images = np.random.default_rng(0).standard_normal((1, 8, 8, 1))
  images = images.astype(np.float32)
  variables = model.init(jax.random.key(0), images)

  def first_map(images):
    _, seen = model.apply(variables, images, capture_intermediates=True)
    return seen['intermediates']['conv_0']['__call__'][0][0, 1, 1].sum()

  reached = np.abs(jax.grad(first_map)(images))[0, :, :, 0] > 0
  assert reached.sum() == 9 and reached[2:5, 2:5].all()


def test_the_task_trains_and_counts_as_its_parts_do():
  config = configs.get_config('tiny')
  task = classification.make_task(config.task, config.model)
  rng = np.random.default_rng(0)
  batch = {
    'image': rng.standard_normal((3, 28, 28, 1)).astype(np.float32),
    'label': np.array([1, 2, 3]),
    'mask': np.array([1.0, 1.0, 0.0], np.float32),
  }
  variables = task.init(jax.random.key(0), batch)
  loss, aux = task.loss(variables, batch, jax.random.key(0))
  logits = np.asarray(task.predict(variables, batch)['logits'], np.float64)
  logs = logits - special.logsumexp(logits, axis=1, keepdims=True)
  target = 0.9 * np.eye(10)[batch['label']] + 0.1 / 10
  expected = -(target * logs).sum(1)[:2].mean()
  assert loss == pytest.approx(expected, rel=1e-5) and aux.model_state == {}
  accuracy = (logits.argmax(1) == batch['label'])[:2].mean()
  found = task.metrics(variables, batch)['accuracy'].compute()
  assert found == pytest.approx(accuracy)


def test_a_small_vit_begins_with_positions_as_large_as_its_patches():
  """Smaller ones are not seen for hundreds of steps."""
  config = configs.get_config('full')
  model = classification.make_task(config.task, config.model).model
  images = np.random.default_rng(0).standard_normal((2, 28, 28, 1))
  images = images.astype(np.float32)
  params = jax.jit(model.init)(jax.random.key(0), images)['params']
  patches = images.reshape(2, 14, 2, 14, 2).swapaxes(2, 3).reshape(-1, 4)
  tokens = patches @ np.asarray(params['patches']['kernel']).reshape(4, -1)
  ratio = np.std(params['positions']) / np.std(tokens)
  assert 0.3 < ratio < 3


def test_images_of_another_size_are_refused():
  model = vit.ViT(**SIZES, image_size=(4, 6))
  shape = jax.ShapeDtypeStruct((1, 6, 4, 3), 'float32')
  with pytest.raises(ValueError, match=r'image_size: found \(4, 6\).*\(6, 4\)'):
    jax.eval_shape(model.init, jax.random.key(0), shape)

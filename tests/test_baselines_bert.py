"""BERT against a naive one in float64; its published sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from baselines import bert
from configs.baselines import bert as config_lib
from train_lib import cost, stacking
from train_lib import task as task_lib

TINY = dict(
  vocab_size=20,
  max_length=9,
  channels=12,
  num_layers=2,
  num_heads=3,
  mlp_channels=16,
)


def shapes(config):
  task = task_lib.make_task(config)
  length = config.data.preprocess.length
  batch = {
    'ids': jax.ShapeDtypeStruct((1, length), jnp.int32),
    'input_mask': jax.ShapeDtypeStruct((1, length), jnp.float32),
  }
  return task, jax.eval_shape(task.init, jax.random.key(0), batch), batch


# Parameters in millions and GFLOPs at 2 a multiply-add (table 1). The paper's
# FLOPs leave the head out: 512 tokens x (32,000 + 768) x 768 for the base.
@pytest.mark.parametrize(
  'variant, millions, gflops',
  [('base', 110, 109 + 2e-9 * 512 * 32768 * 768), ('bytes', 20, 130)],
)
def test_published_sizes(variant, millions, gflops):
  task, variables, batch = shapes(config_lib.get_config(variant))
  found = cost.num_params(variables['params'])
  assert found / 1e6 == pytest.approx(millions, rel=0.025)
  found = 2e-9 * cost.multiply_adds(task.predict, variables, batch)
  assert found == pytest.approx(gflops, rel=0.12)


def naive(params, ids, mask):
  """Features and logits of one example in float64, a loop at a time."""
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

  def dense(x, name, layer):
    return x @ layer[name]['kernel'] + layer[name]['bias']

  def norm(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(
      x.var(-1, keepdims=True) + 1e-12
    )
    return x * layer['scale'] + layer['bias']

  def gelu(x):
    return x * (1 + special.erf(x / np.sqrt(2))) / 2

  x = norm(
    p['embedding'][ids] + p['positions'][: len(ids)], p['embedding_norm']
  )
  for i in range(2):
    layer = p[f'layer_{i}']
    q, k, v = (dense(x, n, layer) for n in ('query', 'key', 'value'))
    heads = []
    for h in range(3):
      part = slice(4 * h, 4 * h + 4)
      logits = q[:, part] @ k[:, part].T / 2
      logits[:, mask == 0] = -np.inf
      heads.append(special.softmax(logits, axis=-1) @ v[:, part])
    x = norm(
      x + dense(np.concatenate(heads, -1), 'output', layer), layer['norm']
    )
    hidden = gelu(dense(x, 'mlp_hidden', layer))
    x = norm(x + dense(hidden, 'mlp_output', layer), layer['mlp_norm'])
  predicted = norm(gelu(dense(x, 'head', p)), p['head_norm'])
  return x, predicted @ p['embedding'].T + p['bias']


@pytest.mark.parametrize('scan_layers', [False, True])
def test_is_a_naive_bert(scan_layers):
  model = bert.Bert(**TINY, scan_layers=scan_layers)
  ids = np.random.default_rng(0).integers(0, 20, (2, 7))
  mask = np.ones((2, 7))
  mask[1, 4:] = 0
  params = model.init(jax.random.key(0), ids)['params']
  leaves, structure = jax.tree.flatten(params)
  rng = np.random.default_rng(1)
  leaves = [x + 0.3 * rng.standard_normal(x.shape).astype('f') for x in leaves]
  params = structure.unflatten(leaves)
  found = model.apply({'params': params}, ids, input_mask=mask)
  body = {k: x for k, x in params.items() if not k.startswith(('head', 'bias'))}
  first = bert.FirstToken(**TINY, scan_layers=scan_layers).apply(
    {'params': body}, ids, mask, None
  )
  params = stacking.unstacked(params)
  for b in range(2):
    features, logits = naive(params, ids[b], mask[b])
    np.testing.assert_allclose(found[b], logits, atol=2e-4)
    np.testing.assert_allclose(first[b], features[0], atol=2e-4)


def test_bad_input_is_named():
  ids = np.zeros((1, 10), np.int32)
  with pytest.raises(ValueError, match='found 10 tokens, expected at most'):
    bert.Bert(**TINY).init(jax.random.key(0), ids)
  with pytest.raises(ValueError, match='multiple of num_heads = 5'):
    bert.Bert(**TINY | {'num_heads': 5}).init(jax.random.key(0), ids[:, :9])

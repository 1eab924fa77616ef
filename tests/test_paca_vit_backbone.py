"""The backbone's options and shapes; its values are the classifier test's."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import attention, backbone, classifier, clustering
from tests import golden_paca

Conv = functools.partial(
  clustering.ConvClustering, num_clusters=5, kernel_size=3
)


def small(blocks_per_assignment=None, depth=1, **options):
  stages = [
    backbone.Stage(8, depth, 2, Conv, blocks_per_assignment),
    backbone.Stage(16, 1, 4, None),
  ]
  return backbone.PacaBackbone(stages, **options)


def images(*shape):
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def apply(model, variables, x, **kwargs):
  return golden_paca.jit(
    lambda variables, x: model.apply(variables, x, False, **kwargs)
  )(variables, x)


def shapes_of(model, images_shape=(1, 16, 16, 3)):
  x = jnp.zeros(images_shape)
  return jax.eval_shape(lambda: model.init(jax.random.key(0), x, False))


def random_variables(model):
  return golden_paca.random_variables(shapes_of(model))


def run(model, x):
  variables = random_variables(model)
  return variables, apply(model, variables, x)


def test_attention_is_a_naive_loop():
  rng = np.random.default_rng(0)
  patches = rng.standard_normal((2, 6, 8))
  assignment = rng.dirichlet(np.ones(6), size=(2, 3))
  with jax.enable_x64(True):
    module = attention.PatchToClusterAttention(2, dtype=jnp.float64)
    variables = module.init(jax.random.key(0), patches, assignment)
    got = module.apply(variables, patches, assignment)
  p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables['params'])
  for b in range(2):
    clusters = assignment[b] @ patches[b]
    clusters -= clusters.mean(-1, keepdims=True)
    clusters /= np.sqrt(clusters.var(-1, keepdims=True) + 1e-6)
    q, k, v = (
      x @ p[name]['kernel']
      for x, name in [
        (patches[b], 'query'),
        (clusters, 'key'),
        (clusters, 'value'),
      ]
    )
    out = np.zeros((6, 8))
    for head in range(2):
      own = slice(4 * head, 4 * head + 4)
      for n in range(6):
        weights = np.exp(k[:, own] @ q[n, own] / 2)
        out[n, own] = weights / weights.sum() @ v[:, own]
    np.testing.assert_allclose(got[b], out @ p['out']['kernel'], atol=1e-10)


@pytest.mark.parametrize(
  'height, width, first, second',
  [
    (32, 32, (8, 8), (4, 4)),
    (29, 35, (8, 9), (4, 5)),
    (1, 1, (1, 1), (1, 1)),
    (2, 13, (1, 4), (1, 2)),
  ],
)
def test_any_size_and_the_shapes_of_features(height, width, first, second):
  x = images(2, height, width, 3)
  _, features = run(small(), x)
  assert features.maps[0].shape == (2, *first, 8)
  assert features.maps[1].shape == (2, *second, 16)
  for assignment in features.assignments[0]:
    assert assignment.shape == (2, 5, first[0] * first[1])
    np.testing.assert_allclose(assignment.sum(-1), 1, rtol=1e-5)
  assert features.assignments[1] == [None]


@pytest.mark.parametrize(
  'blocks_per_assignment, depth, owners',
  [
    (None, 3, [0]),
    (1, 3, [0, 1, 2]),
    (2, 3, [0, 2]),
    pytest.param(2, 5, [0, 2, 4], marks=pytest.mark.full),
    pytest.param(3, 5, [0, 3], marks=pytest.mark.full),
  ],
)
def test_sharing_of_assignments(blocks_per_assignment, depth, owners):
  x = images(1, 16, 16, 3)
  variables, features = run(small(blocks_per_assignment, depth), x)
  params = variables['params']
  for j in range(depth):
    assert ('clustering' in params[f'stage_1_block_{j}']) == (j in owners)
    shared = j not in owners
    if j:
      before, now = features.assignments[0][j - 1 : j + 1]
      assert (before is now) or (np.array_equal(before, now) == shared)


def test_clusters_do_not_mix_examples():
  x = images(3, 16, 16, 3)
  variables = random_variables(small())
  forward = golden_paca.jit(lambda x: small().apply(variables, x, False))
  before, after = (forward(x).maps[1] for x in (x, x[[0, 2, 2]]))
  np.testing.assert_array_equal(before[::2], after[::2])
  assert not np.allclose(before[1], after[1], atol=1e-3)


def test_layer_scale_starts_where_told_and_scales_both_branches():
  x = images(1, 3, 3, 8)
  block = backbone.Block(2, layer_scale=0.25)
  plain = backbone.Block(2)

  @golden_paca.jit
  def outputs(x):
    params = block.init(jax.random.key(0), x, None, False)['params']
    off = params | {'layer_scale1': jnp.zeros(8), 'layer_scale2': jnp.zeros(8)}
    scales = params['layer_scale1'], params['layer_scale2']
    rest = {k: v for k, v in params.items() if 'layer_scale' not in k}
    rest = jax.tree.map(lambda v: v, rest)  # to change it, not `params`
    rest['attention']['out']['kernel'] /= 4
    rest['mlp']['fc2']['kernel'] /= 4
    return (
      scales,
      block.apply({'params': off}, x, None, False)[0],
      block.apply({'params': params}, x, None, False)[0],
      plain.apply({'params': rest}, x, None, False)[0],
    )

  scales, unchanged, scaled, by_hand = outputs(x)
  np.testing.assert_array_equal(scales, np.full((2, 8), 0.25))
  np.testing.assert_array_equal(unchanged, x)
  np.testing.assert_allclose(scaled, by_hand, atol=1e-6)
  assert not np.allclose(scaled, x, atol=1e-4)


@pytest.mark.parametrize('before, after', [(1, 0), (0, 1), (1, 1)])
def test_where_the_norms_of_a_block_stand(before, after):
  block = backbone.Block(2, norm_before=before, norm_after=after)
  x = 3 + images(1, 3, 3, 8)

  @golden_paca.jit
  def parts(x):
    variables = block.init(jax.random.key(0), x, None, False)
    (y, _), state = block.apply(
      variables, x, None, False, capture_intermediates=True
    )
    outputs = {
      k: v['__call__'][0]
      for k, v in state['intermediates'].items()
      if k != '__call__' and 'DropPath' not in k
    }
    query = variables['params']['attention']['query']['kernel']
    return y, outputs, state['intermediates']['attention'], query

  y, outputs, inner, query = parts(x)
  norms = {'norm1', 'norm2'} if before else set()
  norms |= {'norm1_after', 'norm2_after'} if after else set()
  assert set(outputs) == norms | {'attention', 'mlp'}
  patches = outputs['norm1'] if before else x
  np.testing.assert_allclose(
    inner['query']['__call__'][0], patches.reshape(1, 9, 8) @ query, atol=1e-5
  )
  first, second = (
    ('norm1_after', 'norm2_after') if after else ('attention', 'mlp')
  )
  np.testing.assert_allclose(
    y, x + outputs[first].reshape(x.shape) + outputs[second], atol=1e-5
  )


@pytest.mark.full
def test_drop_path_rates_rise_and_drop_both_branches():
  model = small(depth=2, drop_path_rate=1.0)
  x = images(4, 16, 16, 3)
  variables = random_variables(model)

  @golden_paca.jit
  def train(variables, x):
    return model.apply(
      variables,
      x,
      True,
      rngs={'drop_path': jax.random.key(0)},
      capture_intermediates=True,
    )

  outputs = train(variables, x)[1]['intermediates']
  # The last of all blocks has rate 1: nothing but its residual is left.
  np.testing.assert_array_equal(
    outputs['stage_2_block_0']['__call__'][0][0],
    outputs['transition_1']['__call__'][0],
  )
  # The first has rate 0.
  _, still = apply(model, variables, x, capture_intermediates=True)
  first = [
    o['stage_1_block_0']['__call__'][0][0]
    for o in (outputs, still['intermediates'])
  ]
  np.testing.assert_allclose(*first, atol=1e-5)


@pytest.mark.full
def test_position_embeddings_are_resized():
  model = small(position_grid=(4, 4))
  x = images(1, 16, 16, 3)
  variables, features = run(model, x)
  shapes = {
    name: block['positions'].shape
    for name, block in variables['params'].items()
    if 'positions' in block
  }
  assert shapes == {'stage_1_block_0': (4, 4, 8), 'stage_2_block_0': (2, 2, 16)}
  # A ramp from edge to edge is one at any other size. In one channel: the
  # norms would take away what all channels share.
  ramps = flax.core.copy(variables)
  for name, shape in shapes.items():
    positions = np.zeros(shape, np.float32)
    positions[..., 0] = np.linspace(0, 1, shape[0])[:, None]
    ramps['params'][name]['positions'] = positions
  larger = images(1, 23, 40, 3)
  got = apply(model, ramps, larger)
  want = apply(small(block=_RampBlock), _without_positions(ramps), larger)
  np.testing.assert_allclose(got.maps[1], want.maps[1], atol=1e-4)
  assert not np.allclose(
    features.maps[1], apply(model, ramps, x).maps[1], atol=1e-2
  )


class _RampBlock(backbone.Block):
  """Adds a ramp over the rows where the first block would add positions."""

  def __call__(self, x, cluster_assignment, train):
    if self.name.endswith('block_0'):
      x = x.at[..., 0].add(jnp.linspace(0, 1, x.shape[1])[:, None])
    return super().__call__(x, cluster_assignment, train)


def _without_positions(variables):
  flat = flax.traverse_util.flatten_dict(variables)
  return flax.traverse_util.unflatten_dict(
    {path: x for path, x in flat.items() if path[-1] != 'positions'}
  )


@pytest.mark.full
def test_cluster_positions_reach_the_outputs():
  block = functools.partial(backbone.Block, cluster_position=True)
  model = small(block=block, depth=2)
  x = images(1, 16, 16, 3)
  variables, _ = run(model, x)
  gradient = golden_paca.jit(
    jax.grad(
      lambda v: jnp.square(model.apply(v, x, False).maps[0][..., 0]).sum()
    )
  )(variables)['params']
  gradient = gradient['stage_1_block_1']['attention']['cluster_position']
  assert gradient.shape == (5, 8)
  assert np.abs(gradient).max() > 0


def test_bfloat16_computes_near_float32_with_float32_parameters():
  x = images(2, 16, 16, 3)
  variables, want = run(small(), x)
  got = apply(small(dtype=jnp.bfloat16), variables, x)
  assert got.maps[1].dtype == jnp.bfloat16
  np.testing.assert_allclose(
    got.maps[1].astype(np.float32), want.maps[1], atol=0.1
  )
  fresh = shapes_of(small(dtype=jnp.bfloat16))
  assert {v.dtype for v in jax.tree.leaves(fresh)} == {np.dtype('float32')}


@pytest.mark.full
def test_initialisation():
  config = models.model('demo')
  config.depths = (1, 1)
  model = classifier.make_classifier(config)
  init = golden_paca.jit(lambda x: model.init(jax.random.key(0), x, False))
  params = init(images(1, 8, 8, 1))['params']
  trunk = params['backbone']
  first, second = trunk['stage_1_block_0'], trunk['stage_2_block_0']
  for kernel, std in [
    (params['head']['kernel'], 0.02),
    (second['attention']['query']['kernel'], 0.02),
    (second['mlp']['fc1']['kernel'], 0.02),
    (second['mlp']['spatial']['kernel'], (2 / 9) ** 0.5),
    (first['clustering']['spatial']['kernel'], (2 / 49) ** 0.5),
    (first['clustering']['mix']['kernel'], (2 / 32) ** 0.5),
    (first['clustering']['to_clusters']['kernel'], (2 / 16) ** 0.5),
    (trunk['transition_1']['conv_0']['kernel'], (2 / (9 * 64)) ** 0.5),
  ]:
    np.testing.assert_allclose(np.std(kernel), std, rtol=0.1)
  for path, value in flax.traverse_util.flatten_dict(params).items():
    if path[-1] in ('bias', 'scale'):
      assert np.all(np.asarray(value) == (path[-1] == 'scale')), path

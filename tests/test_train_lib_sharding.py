"""Rules to shardings, on eight fake devices."""

import importlib
import types

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from train_lib import sharding
from train_lib.task import make_task

TREE = {
  'params': {
    'fc1': {'kernel': jax.ShapeDtypeStruct((128, 512), jnp.float32)},
    'fc2': {'kernel': jax.ShapeDtypeStruct((510, 128), jnp.float32)},
    'norm': {'scale': jax.ShapeDtypeStruct((128,), jnp.float32)},
  },
  'opt_state': (
    {'mu': {'fc1': {'kernel': jax.ShapeDtypeStruct((128, 512), jnp.float32)}}},
  ),
  'step': jax.ShapeDtypeStruct((), jnp.int32),
}


def specs(mesh_axes, rules):
  mesh = sharding.make_mesh(mesh_axes)
  tree = sharding.make_shardings(TREE, mesh, rules)
  return jax.tree.map(lambda s: s.spec, tree)


def test_fsdp_splits_the_largest_dimension_that_divides():
  tree = specs({'data': 2, 'fsdp': 4}, [('.*', 'fsdp')])
  assert tree['params']['fc1']['kernel'] == P(None, 'fsdp')
  assert tree['params']['fc2']['kernel'] == P(None, 'fsdp')  # 510 % 4 != 0
  assert tree['params']['norm']['scale'] == P()  # small
  assert tree['opt_state'][0]['mu']['fc1']['kernel'] == P(None, 'fsdp')
  assert tree['step'] == P()


def test_first_rule_wins_over_the_whole_state():
  rules = [('fc1/kernel', (None, 'model')), ('.*', ())]
  tree = specs({'data': -1, 'model': 2}, rules)
  assert tree['params']['fc1']['kernel'] == P(None, 'model')
  assert tree['opt_state'][0]['mu']['fc1']['kernel'] == P(None, 'model')
  assert tree['params']['fc2']['kernel'] == P()


def slices(number, size):
  return [
    types.SimpleNamespace(
      id=i * size + j,
      slice_index=i,
      process_index=i,
      platform='gpu',
      device_kind='invented',
    )
    for i in range(number)
    for j in range(size)
  ]


def test_slow_connections_are_crossed_by_the_slowest_axis():
  sizes = {'data': 4, 'fsdp': 2, 'tensor': 2}
  devices = sharding.arrange(slices(2, 8), sizes)
  found = [[d.slice_index for d in row.flat] for row in devices]
  assert found == [[0] * 4, [0] * 4, [1] * 4, [1] * 4]
  devices = sharding.arrange(slices(2, 6), {'data': 3, 'fsdp': 4})
  assert [d.slice_index for d in devices[0]] == [0, 0, 1, 1]
  with pytest.raises(ValueError, match='none of .* is a multiple of the 2 sli'):
    sharding.arrange(slices(2, 3), {'data': 3, 'fsdp': 1})


def test_layouts_of_a_rule_add_up():
  rules = [('fc1/kernel', (None, 'tensor'), 'fsdp'), ('.*', 'fsdp')]
  tree = specs({'fsdp': 2, 'tensor': 4}, rules)
  assert tree['params']['fc1']['kernel'] == P('fsdp', 'tensor')
  assert tree['opt_state'][0]['mu']['fc1']['kernel'] == P('fsdp', 'tensor')
  assert tree['params']['fc2']['kernel'] == P('fsdp')


@pytest.mark.parametrize(
  'config, split',
  [
    (
      'paca_vit.mnist5k',
      {
        'query/kernel',
        'fc1/kernel',
        'mlp/spatial/kernel',
        'fc2/kernel',
        'out/kernel',
        'fc1/bias',
      },
    ),
    (
      'perceiver_io.mnist5k',
      {
        'self_attend_0/attention/value/kernel',
        'self_attend_0/attention/output/kernel',
        'self_attend_0/mlp/hidden/kernel',
        'self_attend_0/mlp/output/kernel',
      },
    ),
    (
      'baselines.bert',
      {
        'layer_0/query/kernel',
        'layer_0/output/kernel',
        'layer_0/mlp_hidden/kernel',
        'layer_0/mlp_output/kernel',
      },
    ),
  ],
)
def test_configs_split_heads_and_mlps_over_tensor(config, split):
  config = importlib.import_module(f'configs.{config}').get_config()
  mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'tensor': 2, 'inputs': 1})
  task = make_task(config)
  batch = {
    'image': jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32),
    'ids': jax.ShapeDtypeStruct((1, 2048), jnp.int32),
  }
  variables = jax.eval_shape(task.init, jax.random.key(0), batch)
  shardings = sharding.make_shardings(variables, mesh, config.sharding)
  leaves = jax.tree_util.tree_flatten_with_path(shardings)[0]
  found = {sharding.path_name(p) for p, s in leaves if 'tensor' in s.spec}
  for suffix in split:
    assert any(name.endswith(suffix) for name in found), suffix
  assert not [name for name in found if 'norm' in name or 'cross' in name]


def test_examples_are_split_where_they_divide():
  mesh = sharding.make_mesh({'data': 2, 'inputs': 4})
  batch = sharding.batch_sharding(mesh)
  for shape, spec in (
    ((8, 28, 28, 1), P(('data',), 'inputs')),
    ((8, 10), P(('data',))),
    ((8,), P(('data',))),
  ):
    assert sharding.leaf_sharding(batch, shape).spec == spec


def test_batch_goes_over_data_and_fsdp_only():
  mesh = sharding.make_mesh({'data': 2, 'fsdp': 2, 'model': 2})
  assert sharding.batch_sharding(mesh).spec == P(('data', 'fsdp'))


@pytest.mark.parametrize(
  'axes, message',
  [
    ({'data': 3}, 'does not fit 8 device'),
    ({'data': -1, 'fsdp': 3}, 'does not fit 8 device'),
    ({'data': -1, 'fsdp': -1}, 'at most one -1'),
    ({'data': 0, 'fsdp': 8}, 'positive sizes'),
  ],
)
def test_impossible_mesh(axes, message):
  with pytest.raises(ValueError, match=f'config.mesh.*{message}'):
    sharding.make_mesh(axes)


@pytest.mark.parametrize(
  'rules, message',
  [
    ([('params', 'fsdp')], 'no rule for .*opt_state.*step'),
    ([('.*', (None, 'expert'))], "names the axis 'expert'"),
    ([('step', ()), ('.*', ('fsdp',))], '510 is not divisible by 4'),
    ([('.*', (None, None, 'fsdp'))], 'has 3 dimensions'),
  ],
)
def test_bad_rules_are_named(rules, message):
  with pytest.raises(ValueError, match=f'config.sharding.*{message}'):
    specs({'data': 2, 'fsdp': 4}, rules)

"""Rules to shardings, on eight fake devices."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from train_lib import sharding

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

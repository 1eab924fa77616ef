"""Stacked layers train, and are saved, as layers one by one do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from configs import common
from train_lib import (
  checkpoint,
  optim,
  sharding,
  stacking,
  stored,
  weights,
)
from train_lib.train_state import TrainState

NUM_LAYERS = 3


def random(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def stacked_params(num_layers=NUM_LAYERS, seed=0):
  # Layers of very different norms, which LAMB must tell apart.
  scale = 10.0 ** np.arange(num_layers, dtype=np.float32)[:, None]
  mlp = {
    'kernel': scale[..., None] * random(num_layers, 128, 256, seed=seed),
    'bias': scale * random(num_layers, 256, seed=seed),
  }
  encoder = {
    'stacked_layer': {'mlp': {'hidden': mlp}},
    'other_1': {'kernel': random(4, 4, seed=seed)},
  }
  return jax.tree.map(jnp.asarray, {'encoder': encoder})


def lamb():
  config = common.adamw(decay='constant', lr=0.1)
  config.update(name='lamb', clip_norm=1.0)
  return optim.make_optimizer(config, num_steps=10)[0]


@jax.jit
def trained(params):
  """The state after two updates."""
  tx = lamb()
  opt_state = tx.init(params)
  for i in range(2):
    grads = jax.tree.map(lambda x: jnp.sin(x + i), params)  # noqa: B023
    updates, opt_state = tx.update(grads, opt_state, params)
    params = optax.apply_updates(params, updates)
  return TrainState(jnp.asarray(2), params, {}, opt_state)


def one_by_one(state):
  """Every tree of parameters in a state, its layers unstacked."""

  def is_dict(x):
    return isinstance(x, dict)

  return jax.tree.map(
    lambda x: stacking.unstacked(x) if is_dict(x) else x, state, is_leaf=is_dict
  )


def abstract(state):
  mesh = sharding.make_mesh({'data': -1, 'fsdp': 2, 'tensor': 2})
  rules = common.parallel()['sharding']
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    state,
    sharding.make_shardings(state, mesh, rules),
  )


def assert_equal(a, b):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), a, b
  )


def test_names():
  name = 'params/encoder/stacked_layer/mlp/bias'
  assert stacking.layer_name(name, 2) == 'params/encoder/layer_2/mlp/bias'
  assert stacking.is_stacked(name)
  for other in ('params/unstacked_layer/bias', 'params/layer_0/stacked_bias'):
    assert stacking.layer_name(other) == other
    assert not stacking.is_stacked(other)


def test_optimizer_sees_single_layers():
  stacked = trained(stacked_params())
  single = trained(stacking.unstacked(stacked_params()))
  assert_equal(one_by_one(stacked), single)


def test_rules_are_for_single_layers():
  state = abstract(trained(stacked_params()))
  single = abstract(trained(stacking.unstacked(stacked_params())))
  specs = jax.tree.map(lambda x: x.sharding.spec, state.params['encoder'])
  layers = jax.tree.map(lambda x: x.sharding.spec, single.params['encoder'])
  hidden = layers['layer_0']['mlp']['hidden']
  assert hidden == {'kernel': P('fsdp', 'tensor'), 'bias': P('tensor')}
  assert specs['stacked_layer']['mlp']['hidden'] == {
    'kernel': P(None, 'fsdp', 'tensor'),
    'bias': P(None, 'tensor'),
  }
  mu = state.opt_state[1].mu['encoder']['stacked_layer']['mlp']['hidden']
  assert mu['kernel'].sharding.spec == P(None, 'fsdp', 'tensor')


def test_checkpoints_of_either_kind_are_read_as_the_other(tmp_path):
  stacked = trained(stacked_params())
  single = one_by_one(stacked)
  for name, saved, wanted in (
    ('a', stacked, single),
    ('b', single, stacked),
    ('c', stacked, stacked),
  ):
    checkpoints = checkpoint.Checkpoints(str(tmp_path / name), 1)
    checkpoints.save(saved, {'position': 5})
    checkpoints.close()
    checkpoints = checkpoint.Checkpoints(str(tmp_path / name), 1)
    restored, data = checkpoints.restore(abstract(wanted))
    checkpoints.close()
    assert data == {'position': 5}
    assert_equal(restored, wanted)
    jax.tree.map(
      lambda x, y: x.sharding == y.sharding or pytest.fail(str(x.sharding)),
      restored,
      abstract(wanted),
    )


def test_weights_of_either_kind_are_taken_as_the_other(tmp_path):
  stacked = {'params': stacked_params()}
  single = stacking.unstacked(stacked)
  weights.save_variables(str(tmp_path / 'stacked'), stacked)
  weights.save_variables(str(tmp_path / 'single'), single)
  for name, like, expected in (
    ('stacked', single, single),
    ('single', stacked, stacked),
  ):
    like = jax.tree.map(jnp.zeros_like, like)
    loaded = weights.load_variables(str(tmp_path / name), like, ())
    assert_equal(loaded, expected)
    kept = weights.load_variables(str(tmp_path / name), like, ('other',))
    assert not np.any(kept['params']['encoder']['other_1']['kernel'])
    assert_equal(weights.read_variables(str(tmp_path / name)), single)


@pytest.mark.parametrize('num_layers', [2, 4])
def test_another_number_of_layers_is_an_error(tmp_path, num_layers):
  saved = {'params': stacked_params()}
  other = {'params': stacked_params(num_layers)}
  for name, there in (('a', saved), ('b', stacking.unstacked(saved))):
    weights.save_variables(str(tmp_path / name), there)
    for like in (other, stacking.unstacked(other)):
      with pytest.raises(stored.CheckpointMismatchError, match='layer'):
        weights.load_variables(str(tmp_path / name), like, ())

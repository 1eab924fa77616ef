"""BatchNorm sees the global batch, however many devices share it (SyncBN)."""

import functools

import jax
import numpy as np
import pytest

from configs.paca_vit import brain
from tests.compiled_task import variables_of
from train_lib import pipeline, sharding
from train_lib import task as task_lib

NUM_STEPS = 3
# Losses are sums over the devices, in another order each.
jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


@pytest.fixture(scope='module')
def config():
  config = brain.get_config('tiny')
  config.data.source = 'synthetic'
  config.model.update(
    channels=(8,), depths=(1,), num_heads=(2,), num_clusters=(4,)
  )
  return config


def make(config, num_devices):
  """A task, variables and batches laid over so many devices."""
  mesh = jax.sharding.Mesh(jax.devices()[:num_devices], ('data',))
  task = task_lib.make_task(config)
  batches = pipeline.make_train_iterator(
    config.data, seed=config.seed, sharding=sharding.batch_sharding(mesh)
  )
  variables = variables_of(task, batches.element_spec)
  return task, jax.device_put(variables, sharding.replicated(mesh)), batches


def run(config, num_devices):
  """Losses of a few steps down the gradient, and the variables in the end."""
  task, variables, batches = make(config, num_devices)

  @jit
  def step(variables, batch, i):
    def loss(params):
      rng = jax.random.fold_in(jax.random.key(0), i)
      return task.loss(variables | {'params': params}, batch, rng)

    (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(
      variables['params']
    )
    params = jax.tree.map(
      lambda p, g: p - 0.1 * g, variables['params'], gradient
    )
    return {'params': params, **aux.model_state}, value

  losses = []
  for i in range(NUM_STEPS):
    batch = next(batches)
    assert len(batch['image'].sharding.device_set) == num_devices
    variables, value = step(variables, batch, i)
    losses.append(float(value))
  return losses, jax.device_get(variables)


@pytest.fixture(scope='module')
def on_one_device(config):
  return run(config, 1)


@pytest.mark.parametrize(
  'num_devices', [4, pytest.param(8, marks=pytest.mark.full)]
)
def test_same_losses_and_variables_on_more_devices(
  config, on_one_device, num_devices
):
  (losses, got), (want_losses, want) = run(config, num_devices), on_one_device
  np.testing.assert_allclose(losses, want_losses, rtol=1e-5)
  assert len(set(losses)) == NUM_STEPS and want['batch_stats']
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    got,
    want,
  )


def test_statistics_of_each_devices_part_would_be_seen(config):
  """The batch in quarters, as four devices have it, each on its own."""
  config = config.copy_and_resolve_references()
  config.model.decode_head.dropout_rate = 0.0
  task, variables, batches = make(config, 1)
  batch = jax.device_get(next(batches))

  @jit
  def loss(batch):
    return task.loss(variables, batch, jax.random.key(0))[0]

  quarters = [
    loss({name: x[2 * i : 2 * i + 2] for name, x in batch.items()})
    for i in range(4)
  ]
  whole = loss(batch)
  assert abs(np.mean(quarters) - whole) > 1e-3 * whole

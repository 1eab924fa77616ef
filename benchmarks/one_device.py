"""A config's train step on one device of this machine, on made-up examples."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections

import train
from perceiver_paca.ops.mesh import DATA
from train_lib import optim, pipeline, sharding, train_state
from train_lib.task import Task, make_task


class TrainStep(NamedTuple):
  """Attributes:
  task: of the config.
  state: shapes and types.
  init: makes the state.
  batches: iterator of made-up examples.
  step: jitted, (state, batch) -> (state, scalars).
  """

  task: Task
  state: train_state.TrainState
  init: Callable[[], train_state.TrainState]
  batches: pipeline.TrainIterator
  step: Any

  def lower(self) -> jax.stages.Lowered:
    return self.step.lower(self.state, self.batches.element_spec)


def make_train_step(
  config: ml_collections.ConfigDict, batch_size: int = 1
) -> TrainStep:
  """Nothing is compiled yet."""
  config = config.copy_and_resolve_references()
  config.data.update(source='synthetic', batch_size=batch_size)
  mesh = jax.sharding.Mesh(jax.devices()[:1], (DATA,))
  task = make_task(config)
  batches = pipeline.make_train_iterator(
    config.data, seed=config.seed, sharding=sharding.batch_sharding(mesh)
  )
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  state, init = train_state.create(
    task, tx, batches.element_spec, config.seed, mesh, [('.*', ())]
  )
  step = functools.partial(
    train.train_step, task=task, tx=tx, seed=config.seed, num_microbatches=1
  )
  return TrainStep(task, state, init, batches, jax.jit(step, donate_argnums=0))

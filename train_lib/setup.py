"""What every program needs of a config: mesh, task, optimizer, state, batches.

Nothing is computed here: the state is abstract, shapes with their shardings,
until `init` makes it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import optax
from jax.sharding import Mesh

from train_lib import (
  batch_layout,
  checks,
  on_device,
  optim,
  pipeline,
  sharding,
  train_state,
)
from train_lib.task import Task, label_ranges_of, make_task
from train_lib.train_state import TrainState

PyTree = Any


class Setup(NamedTuple):
  """Attributes:
  mesh: where the run lives.
  task: of the config.
  tx: the optimizer.
  schedule: step -> learning rate.
  batches: of training; None if shapes were given in their place.
  batch: shapes and types of a batch.
  on_device: (batch, step) -> batch, what of a training batch's preparation is
    left to the device; None: nothing.
  state: the abstract state.
  init: makes the state, straight into its shards; given a function, only what
    that takes of it.
  """

  mesh: Mesh
  task: Task
  tx: optax.GradientTransformation
  schedule: optax.Schedule
  batches: pipeline.TrainIterator | None
  batch: PyTree
  on_device: Callable[[PyTree, jax.Array], PyTree] | None
  state: TrainState
  init: Callable[..., Any]


def make_setup(
  config: ml_collections.ConfigDict,
  *,
  mesh: Mesh | None = None,
  batch: PyTree | None = None,
) -> Setup:
  """Assembles a run.

  Args:
    config: the run's.
    mesh: another one than `config.mesh` describes.
    batch: arrays, or shapes and types, of all that the model looks at; None to
      open the training set, whose batches have them.

  Raises:
    ValueError: something in the config does not fit, by its name.
  """
  if mesh is None:
    mesh = sharding.make_mesh(config.mesh)
  with checks.naming('config.task'):
    task = make_task(config)
  batches = None
  if batch is None:
    with checks.naming('config.data'):
      batches = pipeline.make_train_iterator(
        config.data,
        seed=config.seed,
        sharding=sharding.batch_sharding(mesh),
        label_ranges=label_ranges_of(task),
      )
    batch = batches.element_spec
  with checks.naming('config.data'):
    change = on_device.make_on_device(config.data, config.seed)
    seen = batch
    if batches is not None and change is not None:
      seen = jax.eval_shape(change, batch, np.int32(0))
  with checks.naming('config.optim'):
    tx, schedule = optim.make_optimizer(config.optim, config.num_steps)
  with checks.naming('config.model'):
    state, init = train_state.create(
      task, tx, seen, config.seed, mesh, config.sharding
    )
  return Setup(mesh, task, tx, schedule, batches, batch, change, state, init)


def started(run: Setup, state: TrainState, seed: int) -> TrainState:
  """A new run's state as the task's `start`, if it has one, leaves it.

  It sees the first batch, on which the first step is made, too.
  """
  start = getattr(run.task, 'start', None)
  if start is None:
    return state
  batch = next(run.batches)
  run.batches.set_state({'next_batch': 0})

  def start_on_seen(variables, batch, rng):
    if run.on_device is not None:
      batch = run.on_device(batch, 0)
    return start(variables, batch, rng)

  variables = state.variables
  variables = jax.jit(
    sharding.on_mesh(run.mesh, start_on_seen),
    out_shardings=jax.tree.map(lambda x: x.sharding, variables),
  )(variables, batch, jax.random.key(seed))
  return train_state.with_variables(state, variables, run.tx)


def jit_update(run: Setup, update: Callable) -> Any:
  """Jits (state, batch) -> (state, scalars) for the run's mesh.

  The new state lies where the old one did and takes its memory. What does not
  fit together in the model is found here, before anything is compiled.
  """
  if run.on_device is not None:
    update = _after(run.on_device, update)
  shardings = jax.tree.map(lambda x: x.sharding, run.state)
  step = jax.jit(
    sharding.on_mesh(run.mesh, update),
    donate_argnums=0,
    out_shardings=(shardings, sharding.replicated(run.mesh)),
  )
  with checks.naming('config.model'):
    step.eval_shape(run.state, run.batch)
  return step


def _after(change, update):
  def whole(state, batch):
    return update(state, change(batch, state.step))

  return whole


def evaluation_batch(config: ml_collections.ConfigDict) -> PyTree:
  """Shapes and types of a batch, without the training set.

  An evaluation's first example is preprocessed as in training, if `config.data`
  reads the same kind of data set, else as the evaluation does it.

  Raises:
    ValueError: the config has no evaluation.
  """
  sections = [section.data for section in config.evals.values()]
  if not sections:
    raise ValueError('config.evals: expected an evaluation, found none.')
  module = config.data.module
  alike = [x for x in sections if x.get('module', module) == module]
  if alike:
    changes = {**alike[0], 'preprocess': {}}
    data = pipeline.inherited(config.data, changes)
    return batch_layout.batch_spec(pipeline.training_example(data))
  data = pipeline.inherited(config.data, sections[0])
  return batch_layout.batch_spec(pipeline.eval_examples(data)[0])

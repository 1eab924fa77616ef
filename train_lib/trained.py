"""A run's model as its checkpoint has it, for programs that use it."""

import os
from typing import Any

import ml_collections
from absl import flags
from jax.sharding import Mesh

from train_lib import checkpoint, optim, train_state
from train_lib.task import Task, make_task

BEST = flags.DEFINE_bool('best', False, 'The best checkpoint, not the last.')


def load(
  config: ml_collections.ConfigDict,
  workdir: str,
  mesh: Mesh,
  batch: Any,
  best: bool = False,
) -> tuple[Task, train_state.TrainState]:
  """The task of a config, and the state that its run saved.

  Without checkpoints in the workdir it is the weights that `config.init_from`
  names, such as imported ones: all of them, also those that training replaces.

  Args:
    config: the run's.
    workdir: the run's.
    mesh: what to lay the state on.
    batch: of arrays or their shapes and types, all that the model looks at.
    best: the best checkpoint instead of the last.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it does not fit the config.
  """
  task = make_task(config)
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  abstract, init = train_state.create(
    task, tx, batch, config.seed, mesh, config.sharding
  )
  if is_imported(config, workdir):
    whole = ml_collections.ConfigDict(
      dict(path=config.init_from.path, exclude=())
    )
    return task, checkpoint.init_from(init(), tx, whole)
  return task, checkpoint.load_state(workdir, abstract, best)


def is_imported(config: ml_collections.ConfigDict, workdir: str) -> bool:
  """Whether the weights are those that `config.init_from` names."""
  saved = os.path.exists(os.path.join(workdir, 'checkpoints'))
  return bool(config.init_from.path) and not saved

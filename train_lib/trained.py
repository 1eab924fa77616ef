"""A run's model as its checkpoint has it, for programs that use it."""

from typing import Any

import ml_collections
from absl import flags
from jax.sharding import Mesh

from train_lib import places, setup, stored, train_state, weights
from train_lib.task import Task
from train_lib.train_state import TrainState

BEST = flags.DEFINE_bool('best', False, 'The best checkpoint, not the last.')


def load(
  config: ml_collections.ConfigDict,
  workdir: str,
  mesh: Mesh,
  batch: Any,
  best: bool = False,
) -> tuple[Task, TrainState]:
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
  run = setup.make_setup(config, mesh=mesh, batch=batch)
  if is_imported(config, workdir):
    variables = weights.load_variables(
      config.init_from.path, run.state.variables, exclude=()
    )
    return run.task, train_state.to_evaluate(variables)
  return run.task, stored.load_state(workdir, run.state, best)


def is_imported(config: ml_collections.ConfigDict, workdir: str) -> bool:
  """Whether the weights are those that `config.init_from` names."""
  saved = (places.of(workdir) / 'checkpoints').exists()
  return bool(config.init_from.path) and not saved

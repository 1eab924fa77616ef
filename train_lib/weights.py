"""Variables in checkpoints: what a run begins with, what is imported."""

import re
from typing import Any

import jax
import ml_collections
import numpy as np
import optax
from etils import epath
from orbax.checkpoint import v1 as ocp

from train_lib import (
  digests,
  setup,
  sharding,
  stacking,
  stored,
  train_state,
)
from train_lib.train_state import TrainState

PyTree = Any


def first_state(
  run: setup.Setup, config: ml_collections.ConfigDict
) -> TrainState:
  """The state of a new run: from `config.init_from`, else from scratch."""
  state = run.init()
  if config.init_from.path:
    state = init_from(state, run.tx, config.init_from)
  return setup.started(run, state, config.seed)


def init_from(
  state: TrainState,
  tx: optax.GradientTransformation,
  config: ml_collections.ConfigDict,
) -> TrainState:
  """A new run's state with the variables that `config.init_from` names.

  Args:
    state: a new state, for the shardings and for what is not loaded.
    tx: the optimizer, which starts anew.
    config: path and exclude, see `load_variables`.
  """
  variables = {'params': state.params, **state.model_state}
  variables = load_variables(config.path, variables, config.exclude)
  return train_state.with_variables(state, variables, tx)


def load_variables(
  path: str, variables: PyTree, exclude: tuple[str, ...]
) -> PyTree:
  """Replaces variables by those of a checkpoint, except what is excluded.

  Args:
    path: of a checkpoint, or of a workdir: its last checkpoint.
    variables: {'params': ..., ...} arrays, whose shardings are kept.
    exclude: regular expressions; what they are found in is neither loaded nor
      looked for, such as a head for other classes.

  Raises:
    FileNotFoundError: there is no checkpoint.
    CheckpointMismatchError: anything not excluded is missing, left over or of
      another shape.
  """
  directory = _find(path, 'config.init_from.path')
  found = ocp.checkpointables_metadata(directory).metadata

  def excluded(leaf_path):
    name = sharding.path_name(leaf_path)
    return any(re.search(pattern, name) for pattern in exclude)

  def included(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {sharding.path_name(p): x for p, x in leaves if not excluded(p)}

  def read(leaf_path, _):
    if excluded(leaf_path):
      return ocp.PLACEHOLDER
    x = wanted[sharding.path_name(leaf_path)]
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)

  ours = included(variables)
  theirs = included(found.get('variables', {}))
  wanted = stacking.as_stored(ours, theirs)
  stored.check_same(directory, wanted, theirs)
  loaded = ocp.load_checkpointables(
    directory,
    {'variables': jax.tree_util.tree_map_with_path(read, found['variables'])},
  )
  loaded = stacking.as_wanted(included(loaded['variables']), ours)
  return jax.tree_util.tree_map_with_path(
    lambda p, x: loaded.get(sharding.path_name(p), x), variables
  )


def save_variables(path: str, variables: PyTree) -> None:
  """Writes what `load_variables` loads, such as imported weights.

  Args:
    path: of a new folder.
    variables: {'params': ..., ...} arrays.
  """
  folder = epath.Path(path).absolute()
  ocp.save_checkpointables(folder, {'variables': variables})
  if jax.process_index() == 0:
    digests.write(folder)


def read_variables(path: str) -> PyTree:
  """The variables of a checkpoint, whatever model they are of.

  Args:
    path: as `load_variables`'s.

  Returns:
    {'params': ..., ...} numpy arrays, layers one by one.

  Raises:
    FileNotFoundError: there is no checkpoint.
  """
  directory = _find(path, '--checkpoint')
  found = ocp.checkpointables_metadata(directory).metadata['variables']
  wanted = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), found)
  loaded = ocp.load_checkpointables(directory, {'variables': wanted})
  return stacking.unstacked(loaded['variables'])


def _find(path: str, option: str) -> epath.Path:
  """The folder of the checkpoint (or of the workdir's last) that is meant."""
  directory = epath.Path(path).absolute()
  steps = stored.steps(directory / 'checkpoints')
  if steps:
    directory = directory / 'checkpoints' / str(steps[0])
  if not ocp.is_orbax_checkpoint(directory):
    raise FileNotFoundError(
      f'{option}: expected a checkpoint, or a workdir with checkpoints in it; '
      f'found neither at {path}'
    )
  try:
    stored.verify(directory)
  except digests.DamagedError as e:
    raise digests.DamagedError(f'{option}: {e}') from e
  return directory

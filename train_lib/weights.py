"""Variables in checkpoints: what a run begins with, what is imported."""

import os
import re
from typing import Any

import jax
import ml_collections
import numpy as np
from etils import epath
from orbax.checkpoint import v1 as ocp

from train_lib import (
  digests,
  places,
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
  if config.init_from.path:
    variables = init_from(run, config.init_from)
    state = train_state.with_variables(run.state, variables, run.tx)
  else:
    state = run.init()
  return setup.started(run, state, config.seed)


def init_from(run: setup.Setup, config: ml_collections.ConfigDict) -> PyTree:
  """The variables {'params': ..., ...} that `config.init_from` names.

  Args:
    run: whose model they are for.
    config: path and exclude, see `load_variables`; what is excluded is as in a
      run from scratch, and made only then.
  """
  variables = load_variables(config.path, run.state.variables, config.exclude)
  leaves, structure = jax.tree.flatten(variables)
  new = [i for i, x in enumerate(leaves) if isinstance(x, jax.ShapeDtypeStruct)]

  def only_new(state):
    arrays = jax.tree.leaves(state.variables)
    return [arrays[i] for i in new]

  for i, x in zip(new, run.init(only_new) if new else (), strict=True):
    leaves[i] = x
  return structure.unflatten(leaves)


def load_variables(
  path: str, variables: PyTree, exclude: tuple[str, ...]
) -> PyTree:
  """Replaces variables by those of a checkpoint, except what is excluded.

  Args:
    path: of a checkpoint, or of a workdir: its last checkpoint.
    variables: {'params': ..., ...} arrays, or ShapeDtypeStructs, whose
      shardings are kept.
    exclude: regular expressions; what they are found in is neither loaded nor
      looked for, such as a head for other classes.

  Raises:
    FileNotFoundError: there is no checkpoint.
    CheckpointMismatchError: anything not excluded is missing, left over or of
      another shape.
    ValueError: an expression is found in nothing.
  """
  directory, found, wanted = _compared(path, variables, exclude)

  def read(leaf_path, _):
    x = wanted.get(sharding.path_name(leaf_path))
    if x is None:
      return ocp.PLACEHOLDER
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)

  loaded = ocp.load_checkpointables(
    directory, {'variables': jax.tree_util.tree_map_with_path(read, found)}
  )
  loaded = stacking.as_wanted(
    _included(loaded['variables'], exclude), _included(variables, exclude)
  )
  return jax.tree_util.tree_map_with_path(
    lambda p, x: loaded.get(sharding.path_name(p), x), variables
  )


def _compared(
  path: str, variables: PyTree, exclude: tuple[str, ...]
) -> tuple[epath.Path, PyTree, dict[str, Any]]:
  """The checkpoint, what it describes, and what of it is wanted, by name."""
  directory = _find(path, 'config.init_from.path')
  found = ocp.checkpointables_metadata(directory).metadata.get('variables', {})
  names = _included(variables, ()).keys() | _included(found, ()).keys()
  for pattern in exclude:
    if not any(re.search(pattern, name) for name in names):
      raise ValueError(
        f'config.init_from.exclude: found {pattern!r}; expected what is found '
        f'in the name of some array, such as {min(names)}.'
      )
  theirs = _included(found, exclude)
  wanted = stacking.as_stored(_included(variables, exclude), theirs)
  try:
    stored.check_same(directory, wanted, theirs)
  except stored.CheckpointMismatchError as e:
    raise stored.CheckpointMismatchError(f'config.init_from.path: {e}') from e
  return directory, found, wanted


def _included(tree: PyTree, exclude: tuple[str, ...]) -> dict[str, Any]:
  """Name -> array of those in which no expression is found."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  names = {sharding.path_name(p): x for p, x in leaves}
  return {
    name: x
    for name, x in names.items()
    if not any(re.search(pattern, name) for pattern in exclude)
  }


def save_variables(path: str, variables: PyTree) -> None:
  """Writes what `load_variables` loads, such as imported weights.

  Args:
    path: of a new folder.
    variables: {'params': ..., ...} arrays.
  """
  folder = places.of(path, '--output')
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
  directory = places.of(os.path.expanduser(path), option)
  steps = stored.steps(directory / 'checkpoints')
  if steps:
    directory = directory / 'checkpoints' / str(steps[0])
  elif (directory / 'weights').is_dir():  # a model of the zoo
    directory /= 'weights'
  if not (directory / 'variables').is_dir():
    raise FileNotFoundError(
      f'{option}: expected a checkpoint, or a workdir with checkpoints in it; '
      f'found neither at {path}'
    )
  try:
    stored.verify(directory)
  except digests.DamagedError as e:
    raise digests.DamagedError(f'{option}: {e}') from e
  return directory

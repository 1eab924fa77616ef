"""Reading checkpoints: the newest that is whole, of any mesh and layout."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from train_lib import (
  digests,
  places,
  sharding,
  stacking,
  train_state,
  writer,
)
from train_lib.train_state import TrainState

PyTree = Any
_COMMITTED = 'commit_success.txt'  # Orbax's: a bucket renames nothing.


class CheckpointMismatchError(ValueError):
  """The checkpoint is whole, but of another model or optimizer."""


def load_state(workdir: str, abstract: TrainState, best: bool) -> TrainState:
  """Reads a run's last or best state, and touches nothing in its workdir.

  Of the optimizer nothing is kept; the parameters are their moving average, if
  there is one. So it takes a third of the memory that training does.

  Args:
    workdir: of the run, which may still be going on.
    abstract: the state's shapes, types and shardings.
    best: the best by the run's metric instead of the last.

  Raises:
    FileNotFoundError: there is none.
    CheckpointMismatchError: it is of another architecture.
    RuntimeError: it cannot be read.
  """
  directory = places.of(workdir) / ('best' if best else 'checkpoints')
  loaded, _ = load_newest(directory, items_of(abstract), _is_evaluated)
  if loaded is None:
    raise FileNotFoundError(f'--workdir: there is no checkpoint in {directory}')
  state = state_of(loaded)
  return train_state.to_evaluate(state.eval_variables).replace(step=state.step)


def _is_evaluated(name: str) -> bool:
  """Whether an array, named as in `_by_name`, is needed after training."""
  _, _, of_optimizer = name.partition('/opt_state/')
  return not of_optimizer or 'params_ema' in of_optimizer.split('/')


def items_of(state: TrainState) -> dict[str, PyTree]:
  """What a checkpoint has of a state."""
  return {
    'variables': state.variables,
    'optimizer': {'step': state.step, 'opt_state': state.opt_state},
  }


def state_of(items: dict[str, PyTree]) -> TrainState:
  """The state that `items_of` is of."""
  model_state = dict(items['variables'])
  params = model_state.pop('params')
  return TrainState(
    params=params, model_state=model_state, **items['optimizer']
  )


def steps(directory: epath.Path) -> list[int]:
  """Those of the finished checkpoints, the newest first."""
  if places.in_bucket(directory):
    files = (name.split('/') for name in places.names(directory))
    found = {name for name, *rest in files if rest == [_COMMITTED]}
  elif directory.exists():
    found = {path.name for path in directory.iterdir()}
  else:
    found = set()
  return sorted((int(name) for name in found if name.isdigit()), reverse=True)


def load_newest(
  directory: epath.Path,
  wanted: dict[str, PyTree],
  is_read: Callable[[str], bool] = lambda name: True,
) -> tuple[dict[str, PyTree] | None, list[epath.Path]]:
  """Returns the items of the newest readable checkpoint, and the unreadable.

  Args:
    directory: of checkpoints.
    wanted: item -> shapes, types and shardings; None to take it as it is.
    is_read: whether an array 'item/path/of/leaf' is wanted; others are `...`.
  """
  unreadable = []
  for step in steps(directory):
    path = directory / str(step)
    try:
      verify(path)
      found = ocp.checkpointables_metadata(path).metadata
      return _load(path, wanted, found, is_read), unreadable
    except CheckpointMismatchError:
      raise
    except PermissionError as e:
      raise PermissionError(
        f'--workdir: {path} may not be read ({e.strerror}); expected a folder '
        'that this user may read.'
      ) from e
    except Exception as e:  # Anything that the storage layers may raise.
      is_damaged = isinstance(e, digests.DamagedError)
      reason = str(e) if is_damaged else repr(e)
      if places.in_bucket(path) and not is_damaged:  # Such as the network's.
        raise OSError(
          f'--workdir: {path} cannot be read ({reason:.300}).'
        ) from e
      writer.say(
        f'Checkpoint {path} cannot be read ({reason:.300}); falling back to '
        'the one before it.'
      )
      unreadable.append(path)
  if unreadable:
    raise RuntimeError(
      f'--workdir: none of the checkpoints {[str(p) for p in unreadable]} can '
      'be read. To start over, choose another workdir.'
    )
  return None, unreadable


def verify(path: epath.Path) -> None:
  """Reads a checkpoint's files, on one process, and compares their digests.

  What was saved before there were digests is taken as it is, which is said.

  Raises:
    digests.DamagedError: on all processes; on the first it names the file.
  """
  error = None
  if jax.process_index() == 0:
    others = [path.parent / str(step) for step in steps(path.parent)]
    if any(digests.are_in(folder) for folder in (path, *others)):
      try:
        with places.said():
          digests.verify(path)
      except OSError as e:
        error = e
    else:
      writer.say(f'{path} has no digests, so that damage cannot be seen.')
  wrong = np.array(error is not None)
  if jax.process_count() > 1:
    wrong = multihost_utils.broadcast_one_to_all(wrong)
  if wrong:
    raise error or digests.DamagedError(f'{path} is damaged')


def _load(
  path: epath.Path,
  wanted: dict[str, PyTree],
  found: dict,
  is_read: Callable[[str], bool],
) -> dict:
  """Reads items, layers stacked or one by one, whichever way they are stored.

  Args:
    path: of the checkpoint.
    wanted: shapes, types and shardings; None for an item to take as it is.
    found: the checkpoint's metadata.
    is_read: see `load_newest`; layers that are stored the other way are read
      all.
  """
  described = {name: x for name, x in wanted.items() if x is not None}
  for name in described:
    if not jax.tree.leaves(found[name]):
      raise OSError(f'no array of {name!r} can be found')
  ours = _by_name(described)
  theirs = _by_name({name: found[name] for name in described})
  stored = stacking.as_stored(ours, theirs)
  check_same(path, stored, theirs)
  if stored.keys() == ours.keys():

    def read_or_not(leaf_path, x):
      return x if is_read(sharding.path_name(leaf_path)) else ocp.PLACEHOLDER

    described = jax.tree_util.tree_map_with_path(read_or_not, described)
    return ocp.load_checkpointables(path, wanted | described)

  def read(leaf_path, _):
    return stored[sharding.path_name(leaf_path)]

  as_found = {name: found[name] for name in described}
  as_found = jax.tree_util.tree_map_with_path(read, as_found)
  loaded = ocp.load_checkpointables(path, wanted | as_found)
  arrays = _by_name({name: loaded[name] for name in described})
  arrays = stacking.as_wanted(arrays, ours)
  return loaded | jax.tree_util.tree_map_with_path(
    lambda p, _: arrays[sharding.path_name(p)], described
  )


def _by_name(tree: PyTree) -> dict[str, Any]:
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {sharding.path_name(p): x for p, x in leaves}


def check_same(path: epath.Path, expected: dict, found: dict) -> None:
  """Compares two sides by names and shapes.

  Args:
    path: of the checkpoint, for the message.
    expected: path -> anything with a shape.
    found: likewise, in the checkpoint.

  Raises:
    CheckpointMismatchError: they differ; both sides are listed.
  """
  expected = {name: tuple(x.shape) for name, x in expected.items()}
  found = {name: tuple(x.shape) for name, x in found.items()}
  missing = sorted(expected.keys() - found.keys())
  left_over = sorted(found.keys() - expected.keys())
  misshapen = [
    f'{name}: {found[name]} there, {expected[name]} here'
    for name in sorted(expected.keys() & found.keys())
    if expected[name] != found[name]
  ]
  if missing or left_over or misshapen:
    raise CheckpointMismatchError(
      f'{path} is of another architecture or optimizer than the config.\n'
      f'  Expected and not there: {missing}\n'
      f'  There and not expected: {left_over}\n'
      f'  Of another shape: {misshapen}'
    )

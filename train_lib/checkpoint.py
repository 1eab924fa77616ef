"""Checkpoints by Orbax: asynchronous, atomic, restorable on another mesh.

A checkpoint counts when the digests of its files lie beside them; the one
before stays until then. It has three items: `variables` (all that
`train_lib.weights` reads and writes), `optimizer` (with the step) and `data`
(the input iterator's state, the same for any number of processes).
"""

import concurrent.futures
import math
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from train_lib import (
  digests,
  interruption,
  lock,
  places,
  stored,
  train_state,
  writer,
)
from train_lib.train_state import TrainState

PyTree = Any


class SaveError(OSError):
  """A checkpoint could not be written, such as to a full disk."""


class Checkpoints:
  """What a run saves: its last checkpoints and, in another folder, its best."""

  def __init__(
    self,
    workdir: str,
    keep_last: int,
    before_commit: Callable[[], None] = lambda: None,
  ):
    """Opens `workdir`/checkpoints and `workdir`/best, for one run at a time.

    Args:
      workdir: of the run.
      keep_last: how many of the last checkpoints stay; two at least.
      before_commit: called on process 0 before a checkpoint counts; writes what
        resuming from it needs beside.

    Raises:
      ValueError: it cannot be written, or another run has it.
    """
    latest_n = ocp.training.preservation_policies.LatestN
    self._workdir, self._before_commit = places.make(workdir), before_commit
    self._lock = None
    if jax.process_index() == 0:
      self._lock = lock.Lock(str(self._workdir))
    _set_best_aside(self._workdir)
    self._last = ocp.training.Checkpointer(
      self._workdir / 'checkpoints',
      preservation_policy=latest_n(max(keep_last, 2)),
      cleanup_tmp_directories=True,
    )
    self._best = ocp.training.Checkpointer(
      self._workdir / 'best',
      preservation_policy=latest_n(2),
      cleanup_tmp_directories=True,
    )
    self._thread = concurrent.futures.ThreadPoolExecutor(1)
    self._pending = None
    self._saved = None  # the last step that is

  def save(self, state: TrainState, data: dict[str, int]) -> None:
    """Starts saving in the background, after the save before it has ended."""
    self._start(
      self._last, state, {**stored.items_of(state), 'data': data}, None
    )

  def save_best(
    self,
    state: TrainState,
    results: dict[str, float],
    config: ml_collections.ConfigDict,
  ) -> None:
    """Saves if the metric that decides beats the best so far.

    Args:
      state: to save.
      results: '<evaluation>/<metric>' -> value, of some evaluations.
      config: best_metric, of these or of others, or None; best_mode, 'max' or
        'min'.

    Raises:
      ValueError: its evaluation is among these, and has no such metric.
    """
    best = config.best_metric
    if not best:
      return
    evaluation = best.partition('/')[0] + '/'
    if best not in results:
      if any(name.startswith(evaluation) for name in results):
        raise ValueError(
          f'config.checkpoint.best_metric: found {best!r}; expected one of '
          f'{sorted(results)}.'
        )
      return
    value = results[best]
    if not math.isfinite(value):
      return
    self._wait()
    if self._best.latest is not None:
      before = float(self._best.latest.metrics['value'])
      larger = config.best_mode == 'max'
      if not (value > before if larger else value < before):
        return
    self._start(self._best, state, stored.items_of(state), {'value': value})

  def is_over(self, config: ml_collections.ConfigDict, step: int) -> bool:
    """`is_over` of the run, once nothing is being saved; says why."""
    patience = config.checkpoint.patience
    if patience is not None:
      self._wait()
    over = is_over(config, str(self._workdir), step)
    if over and step < config.num_steps:
      writer.say(f'Step {step}: {patience} evaluations were no better.')
    return over

  def _start(self, checkpointer, state, items, metrics) -> None:
    self._wait()
    if self._lock is not None:
      self._lock.check()
    name = train_state.not_finite(state)
    if name is not None:
      raise FloatingPointError(
        f'The state of step {int(state.step)} is not finite, first in {name}; '
        'it is not saved.'
      )
    step, began = int(state.step), time.monotonic()
    response = checkpointer.save_checkpointables_async(
      step, items, force=True, metrics=metrics
    )
    self._pending = self._thread.submit(
      self._commit, response, checkpointer.directory / str(step), step, began
    )

  def _commit(
    self, response, path: epath.Path, step: int, began: float
  ) -> None:
    """Waits for a save and writes its digests, while training goes on."""
    try:
      response.result()
      if jax.process_index() == 0:
        self._before_commit()
        written = time.monotonic()
        digests.write(path)
        seconds, cost = time.monotonic() - began, time.monotonic() - written
        writer.say(
          f'Saved {path.parent.name}/{step} in {seconds:.2f} s, of which its '
          f'digests took {cost:.3f} s ({cost / seconds:.1%}).'
        )
    except Exception as e:
      reason = _storages_reason(e, places.in_bucket(path))
      if reason is None:
        raise
      last = 'nothing' if self._saved is None else f'step {self._saved}'
      raise SaveError(
        f'--workdir: {path} cannot be saved ({reason}); the last that is saved '
        f'is {last}.'
      ) from e
    self._saved = step

  def _wait(self) -> None:
    # Two saves at once would wait for each other's barriers between processes.
    pending, self._pending = self._pending, None
    if pending is not None:
      pending.result()

  def restore(
    self, abstract: TrainState
  ) -> tuple[TrainState, dict[str, int]] | None:
    """Loads the newest checkpoint that can be read, straight into its shards.

    One that cannot be read is moved to `corrupt` in the workdir, lest it count
    as the newest, and the one before it is taken.

    Args:
      abstract: the state's shapes, types and shardings.

    Returns:
      The state and the iterator's state, or None if there is no checkpoint.

    Raises:
      stored.CheckpointMismatchError: the checkpoint is of another architecture.
      RuntimeError: there are checkpoints, and none of them can be read.
    """
    loaded, unreadable = stored.load_newest(
      self._last.directory, {**stored.items_of(abstract), 'data': None}
    )
    if unreadable:
      if jax.process_index() == 0:
        for path in unreadable:
          _move_into(path, self._workdir / 'corrupt')
      multihost_utils.sync_global_devices('unreadable checkpoints moved')
      self._last.reload()
    if loaded is None:
      return None
    data = {name: int(value) for name, value in loaded.pop('data').items()}
    return stored.state_of(loaded), data

  def close(self) -> None:
    """Waits for what is being saved."""
    others = self._thread.shutdown, self._last.close, self._best.close
    if self._lock is not None:
      others = *others, self._lock.close
    interruption.call_all(self._wait, *others)


def is_over(config: ml_collections.ConfigDict, workdir: str, step: int) -> bool:
  """Whether all steps were taken, or `patience` evaluations were no better.

  Args:
    config: of the run.
    workdir: of the run; nothing is being saved there.
    step: that was evaluated last.
  """
  patience = config.checkpoint.patience
  if step >= config.num_steps or patience is None:
    return step >= config.num_steps
  found = stored.steps(places.of(workdir) / 'best')
  if not found:
    return False
  evaluation = config.checkpoint.best_metric.partition('/')[0]
  waited = (step - found[0]) // config.evals[evaluation].every_steps
  return waited >= patience


def _storages_reason(error: Exception, in_bucket: bool) -> str | None:
  """Why storage did not take a checkpoint; None if it is not to blame."""
  # TensorStore tells it in words, such as of a disk that is full.
  told = re.search(r"([^:]+) \[os_error_code='\d+'", str(error))
  if told:
    return told[1].strip()
  if isinstance(error, OSError) or in_bucket:
    return getattr(error, 'strerror', None) or f'{error!s:.300}'
  return None


def _set_best_aside(workdir: epath.Path) -> None:
  """Moves best checkpoints away that are damaged, or were not finished."""
  if jax.process_index() == 0:
    for step in stored.steps(workdir / 'best'):
      path = workdir / 'best' / str(step)
      try:
        digests.verify(path)
        break
      except digests.DamagedError as e:
        writer.say(f'Checkpoint {path} cannot be read ({e}).')
        _move_into(path, workdir / 'corrupt' / 'best')
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices('best checkpoints verified')


def _move_into(path: epath.Path, folder: epath.Path) -> None:
  target = folder / path.name
  places.move(path, target)
  writer.say(f'Moved {path} to {target}.')

"""Scalars to a JSONL file, to TensorBoard (pictures, too), to the console."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
import PIL.Image

from train_lib import pictures, profiling, strict_json

METRICS = 'metrics.jsonl'
_SLOW_DATA = 0.1  # share of a step that data may be waited for


def say(message: str) -> None:
  """A line on the console, from one process."""
  if jax.process_index() == 0:
    try:
      print(message, flush=True)
    except OSError:  # The console was closed; the run goes on.
      sys.stdout = open(os.devnull, 'w')


class Writer:
  """Writes on process 0; elsewhere it does nothing.

  metrics.jsonl in the workdir has one object per line: {"step": 100, "loss":
  0.5, ...}. A resumed run first drops what it is going to write again.
  """

  def __init__(self, workdir: str, start_step: int):
    """Opens the files.

    Args:
      workdir: folder; made if it does not exist.
      start_step: the step at which the run begins or resumes.

    Raises:
      OSError: the workdir cannot be written.
    """
    # It imports PyTorch where that is installed: 5 s, which predicting spares.
    from train_lib import tensorboard

    self._active = jax.process_index() == 0
    if not self._active:
      return
    self._workdir = workdir
    path = os.path.join(workdir, METRICS)
    _drop_unsaved(path, start_step)
    self._file = open(path, 'a')
    self._tensorboard = tensorboard.Events(workdir, start_step)

  def write(self, step: int, scalars: dict[str, float]) -> None:
    """Appends scalars, named like 'loss' or 'test/accuracy'."""
    if not self._active:
      return
    self._file.write(strict_json.dumps({'step': step, **scalars}) + '\n')
    self._file.flush()
    self._tensorboard.scalars(step, scalars)

  def write_pictures(self, step: int, evaluators: Iterable[str]) -> None:
    """Shows in TensorBoard, too, what evaluators of these names have drawn.

    TensorBoard knows pixels alone: SVG is left out.
    """
    if not self._active:
      return
    for name in evaluators:
      folder = pictures.folder_of(self._workdir, name)
      for path in pictures.by_step(folder).get(step, []):
        if path.suffix == '.png':
          number = path.stem.rpartition('_')[2]
          with PIL.Image.open(path) as picture:
            pixels = np.asarray(picture.convert('RGB'))
          self._tensorboard.picture(step, f'{name}/{number}', pixels)

  def close(self) -> None:
    if self._active:
      self._file.close()
      self._tensorboard.close()


class Progress:
  """The console's line: step, scalars, examples per second, time left."""

  def __init__(self, start_step: int, num_steps: int, batch_size: int):
    """Starts the clock.

    Args:
      start_step: the step at which the run begins or resumes.
      num_steps: where it ends.
      batch_size: examples of a step, over all processes.
    """
    self._step, self._time = start_step, time.monotonic()
    self._num_steps, self._batch_size = num_steps, batch_size
    self._waited = 0.0  # seconds since the last report
    self._reports, self._warned, self._paused = 0, False, False
    if start_step >= num_steps:
      say(f'Step {start_step} of {num_steps}: nothing is to be done.')

  def steps(
    self, batches: Iterator[Any], end: int
  ) -> Iterator[tuple[int, Any]]:
    """(step, its batch) of those up to `end`; measures how long it waits."""
    for step in range(self._step + 1, end + 1):
      began = time.monotonic()
      batch = next(batches)
      self._waited += time.monotonic() - began
      yield step, batch

  def report(self, step: int, scalars: dict[str, float]) -> dict[str, float]:
    """Prints a line about the time since the last, and returns rates.

    Warns once of a run that waits for its data, and not of its first batch.
    """
    now, steps = time.monotonic(), max(step - self._step, 1)
    seconds, waited = (now - self._time) / steps, self._waited / steps
    left = seconds * (self._num_steps - step)
    self._step, self._time, self._waited = step, now, 0.0
    rate = self._batch_size / max(seconds, 1e-9)
    times = {'step_seconds': seconds, 'data_seconds': waited}
    say(
      f'step {step}/{self._num_steps}  {format_scalars(scalars | times)}  '
      f'{rate:.0f} examples/s  {round(left) // 60}:{round(left) % 60:02d} left'
    )
    self._reports += 1
    if waited > _SLOW_DATA * seconds and self._reports > 1 and not self._warned:
      self._warned = True
      say(
        f'Of {seconds:.3g} s a step, {waited:.3g} s are spent waiting for '
        'data; config.data.num_threads and num_workers make more at once.'
      )
    return {'examples_per_second': rate, **times}

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Takes time that is not spent on training out of the rate.

    After the first time, an evaluation's, peaks of memory are printed.
    """
    began = time.monotonic()
    yield
    self._time += time.monotonic() - began
    if not self._paused:
      self._paused = True
      peaks = profiling.peak_memory()
      say('Peak memory in GiB: ' + format_scalars(peaks))


def format_scalars(scalars: dict[str, float]) -> str:
  return '  '.join(f'{name} {value:.4g}' for name, value in scalars.items())


def _drop_unsaved(path: str, start_step: int) -> None:
  if not os.path.exists(path):
    return
  kept, damaged = [], 0
  with open(path, errors='replace') as file:
    for line in file:
      try:
        row = strict_json.scalars(line)
        step = int(row['step'])
      except (ValueError, KeyError):  # The run was killed while it wrote.
        damaged += 1
        continue
      # The evaluations of the step at which a run resumes are made again.
      if step < start_step or (step == start_step and 'loss' in row):
        kept.append(strict_json.dumps(row) + '\n')
  if damaged:
    say(f'{path}: {damaged} lines that could not be read were dropped.')
  with open(path + '.tmp', 'w') as file:
    file.writelines(kept)
  os.replace(path + '.tmp', path)

"""Scalars to a JSONL file, to TensorBoard (pictures, too), to the console."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator

import jax
import numpy as np
import PIL.Image

from train_lib import pictures, strict_json, tensorboard


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
    self._active = jax.process_index() == 0
    if not self._active:
      return
    self._workdir = workdir
    path = os.path.join(workdir, 'metrics.jsonl')
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

  def report(self, step: int, scalars: dict[str, float]) -> dict[str, float]:
    """Prints a line about the time since the last, and returns its rate."""
    now = time.monotonic()
    seconds = (now - self._time) / max(step - self._step, 1)
    left = seconds * (self._num_steps - step)
    self._step, self._time = step, now
    rate = self._batch_size / max(seconds, 1e-9)
    minutes, seconds = divmod(round(left), 60)
    say(
      f'step {step}/{self._num_steps}  {format_scalars(scalars)}  '
      f'{rate:.0f} examples/s  {minutes}:{seconds:02d} left'
    )
    return {'examples_per_second': rate}

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Takes time that is not spent on training out of the rate."""
    began = time.monotonic()
    yield
    self._time += time.monotonic() - began


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

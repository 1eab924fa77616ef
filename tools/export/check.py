"""Runs an exported file and sets it beside the model: outputs and seconds."""

import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from tools.export.formats import Format
from tools.export.run import NONE, Exportable, scale

# Of an output's scale; float32 sums in another order differ by less.
MAX_DIFFERENCE = 1e-4
_MAX_RUNS, _SECONDS = 50, 5.0
Function = Callable[[dict[str, Any]], dict[str, Any]]


class DifferenceError(ValueError):
  """The exported file computes something else than the model."""


def differences(
  exportable: Exportable,
  model: Function,
  exported: Function,
  batch_sizes: tuple[int, ...],
) -> dict[str, tuple[float, float]]:
  """Output -> the largest difference, and the scale that it is measured by.

  Args:
    exportable: names the outputs, and makes the batches.
    model: what was exported.
    exported: runs the file.
    batch_sizes: of the batches.

  Raises:
    DifferenceError: naming outputs of another shape, or that differ by more
      than `MAX_DIFFERENCE` of their scale.
  """
  found = {}
  for size in batch_sizes:
    inputs = exportable.batch(size)
    expected, got = jax.device_get(model(inputs)), exported(inputs)
    for name in exportable.outputs:
      want, x = np.asarray(expected[name]), np.asarray(got[name])
      if x.shape != want.shape:
        raise DifferenceError(
          f'--format: {name}: found shape {x.shape} in the exported file, '
          f'expected {want.shape}.'
        )
      difference = np.abs(x.astype(np.float64) - want.astype(np.float64))
      # Stand-ins for none are rounded to tens.
      difference = np.where(np.abs(want) < NONE, difference, difference / NONE)
      largest, of = found.get(name, (0.0, 0.0))
      found[name] = np.maximum(largest, difference.max()), max(of, scale(want))
  for name, (largest, of) in found.items():
    if not largest <= MAX_DIFFERENCE * of:
      raise DifferenceError(
        f'--format: {name} of the exported file differs from the model by '
        f'{largest:.2g}; expected at most {MAX_DIFFERENCE} of its scale, '
        f'{of:.3g}.'
      )
  return {k: (float(a), float(b)) for k, (a, b) in found.items()}


def latency(function: Function, inputs: dict[str, Any]) -> dict[str, float]:
  """Milliseconds of a call, `p50` and `p95` of `runs`, of what ran before."""
  times, start = [], time.perf_counter()
  while len(times) < _MAX_RUNS and time.perf_counter() - start < _SECONDS:
    before = time.perf_counter()
    function(inputs)
    times.append(1e3 * (time.perf_counter() - before))
  p50, p95 = np.percentile(times, [50, 95])
  return {'p50': float(p50), 'p95': float(p95), 'runs': len(times)}


def check(
  exportable: Exportable, format_: Format, path: pathlib.Path, is_free: bool
) -> dict[str, Any]:
  """What model.json says of a file: differences, size and latencies.

  Args:
    exportable: what was exported.
    format_: as which format.
    path: of the file.
    is_free: whether it takes batches of any size.

  Raises:
    DifferenceError: see `differences`.
    ValueError: the runtime does not take the file.
  """

  def tell(function, *args):
    try:
      return function(*args)
    except Exception as e:  # Every runtime has its own.
      text = ' '.join(str(e).split())
      raise ValueError(
        f'--format: the exported file does not run: {text:.300}'
      ) from e

  exported = tell(format_.load, path)
  model = jax.jit(exportable.predict)
  found = differences(
    exportable,
    model,
    lambda inputs: tell(exported, inputs),
    (2, 1) if is_free else (1,),
  )
  inputs = exportable.batch(1)
  return {
    'largest_difference': {
      name: {'absolute': largest, 'of_scale': of}
      for name, (largest, of) in found.items()
    },
    'bytes': path.stat().st_size,
    'milliseconds': {
      'exported': latency(exported, inputs),
      'jax.jit': latency(lambda x: jax.block_until_ready(model(x)), inputs),
    },
  }

"""What a run needs of its machine: a trace of some steps, peaks of memory."""

import os
import re
import resource
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections

_GIB = 2**30


def steps_of(text: str) -> tuple[int, int]:
  """The first and the last step that '10:13' names.

  Raises:
    ValueError: it names none.
  """
  match = re.fullmatch(r'(\d+):(\d+)', text)
  if match is None or not 1 <= int(match[1]) <= int(match[2]):
    raise ValueError(
      f'--profile_steps: found {text!r}; expected the first and the last step, '
      'such as 10:13.'
    )
  return int(match[1]), int(match[2])


def traced(
  step_fn: Callable,
  steps: str | None,
  config: ml_collections.ConfigDict,
  workdir: str,
) -> Callable:
  """`step_fn`, of which a trace of some steps is written.

  It lies in `workdir`/profile, as TensorBoard's profiler and Perfetto read it.

  Args:
    step_fn: (state, batch) -> anything; the state has a `step`.
    steps: such as '10:13', or None: nothing is traced. Of a run that was
      started again past the first of them nothing is, either.
    config: of the run, which ends at its `num_steps`.
    workdir: of the run.

  Raises:
    ValueError: the run does not reach them all.
  """
  if steps is None:
    return step_fn
  first, last = steps_of(steps)
  if last > config.num_steps:
    raise ValueError(
      f'--profile_steps: found {steps}; expected steps of a run that ends at '
      f'{config.num_steps}.'
    )
  folder, step, tracing = os.path.join(workdir, 'profile'), None, False

  def call(state, batch):
    nonlocal step, tracing
    step = int(state.step) + 1 if step is None else step + 1
    if step == first:
      jax.block_until_ready(state)
      jax.profiler.start_trace(folder)
      tracing = True
    result = step_fn(state, batch)
    if step == last and tracing:
      jax.block_until_ready(result)
      jax.profiler.stop_trace()
    return result

  return call


def peak_memory() -> dict[str, float]:
  """GiB, the most so far: of the host, and of a device if devices tell."""
  host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  peaks = {'host': host / _GIB}
  found = [_peak(x.memory_stats()) for x in jax.local_devices()]
  if any(found):
    peaks['device'] = max(found) / _GIB
  return peaks


def _peak(statistics: Mapping[str, Any] | None) -> float:
  return (statistics or {}).get('peak_bytes_in_use', 0)

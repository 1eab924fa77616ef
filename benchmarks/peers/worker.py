"""A side of a row in a process of its own, which passes when it is told to.

So neither side disturbs the other's memory and threads, and the peak of memory
is its own. Both ends talk in lines: JSON from the worker, 'go' to it.
"""

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

FLAG = '--worker='


class Worker:
  """The parent's end.

  Attributes:
    first: CPU and wall-clock seconds from the start to the first result.
  """

  def __init__(self, row: str, side: str, threads: int):
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'benchmarks.peers', f'{FLAG}{row}:{side}'],
      env={**os.environ, 'OMP_NUM_THREADS': str(threads)},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    self.first = self._answer()

  def go(self) -> dict[str, float]:
    """CPU and wall-clock seconds of a pass."""
    print('go', file=self._process.stdin, flush=True)
    return self._answer()

  def close(self) -> float:
    """Ends it; the most memory it had, in MiB."""
    self._process.stdin.close()
    peak = self._answer()['peak_mib']
    self._process.wait()
    return peak

  def _answer(self) -> dict[str, float]:
    for line in self._process.stdout:
      if line.startswith('{'):  # libraries print, too
        return json.loads(line)
    sys.exit(f'{self._process.args[-1]} ended with {self._process.wait()}.')


def serve(row: str, side: str) -> None:
  """The worker's end; ends when its input does."""
  wall = time.perf_counter()
  from benchmarks.peers import rows

  try:
    one_pass = rows.ROWS[row].sides[side]()
  except ModuleNotFoundError as e:
    sys.exit(f'{row}, {side}: {e}; expected the extra `parity`.')
  one_pass()
  _say(wall=time.perf_counter() - wall, cpu=_cpu_seconds())
  for _ in sys.stdin:
    wall, cpu = time.perf_counter(), _cpu_seconds()
    one_pass()
    _say(wall=time.perf_counter() - wall, cpu=_cpu_seconds() - cpu)
  _say(peak_mib=round(_peak_kib() / 1024))


def _cpu_seconds() -> float:
  """Of all threads, and of the compilers that torch.compile started."""
  of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
  return time.process_time() + of_children.ru_utime + of_children.ru_stime


def _peak_kib() -> int:
  """Of the process that had most, this one or one that it started."""
  return max(
    resource.getrusage(who).ru_maxrss
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )


def _say(**values: Any) -> None:
  print(json.dumps(values), flush=True)

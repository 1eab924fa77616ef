"""Starts `train.py` as forks of one process, which has imported it already.

A fork reads its command line, says what it says and ends with its exit status
as `python train.py` does; only the seconds of the imports are spared. It stops
where the first compilation would begin, with the train step traced.
"""

import os
import re
import signal
import sys
import tempfile
import time
import traceback
from typing import NamedTuple

import jax

import train
from configs import schema
from train_lib import runtime

ACCEPTED = 99  # the exit status of a run that would begin
_SECONDS = 60  # until a fork is ended


class Outcome(NamedTuple):
  """Attributes:
  code: the exit status.
  error: what was written to stderr.
  seconds: of CPU that it took, without the imports: others may have the cores.
  compiled: whether anything had been compiled.
  """

  code: int
  error: str
  seconds: float
  compiled: bool

  def kind(self, option: str = '') -> str:
    """What came of a mistake, in words.

    Args:
      option: of which a clear line names the last part, or the section.
    """
    if self.code == ACCEPTED:
      return 'accepted'
    if 'Traceback' in self.error:
      return 'traceback'
    lines = self.error.strip().splitlines()
    clear = self.code > 0 and len(lines) == 1 and not self.compiled
    if clear and self.seconds < 5 and _names(lines[0], option):
      return 'one line'
    return 'unclear'


def _names(line: str, option: str) -> bool:
  """Whether a line names an option, or the section or element it is of."""
  parts = option.split('.')
  return any(
    re.search(rf'\b{re.escape(part)}', line) for part in (parts[-1], parts[0])
  )


def run(arguments: list[str]) -> Outcome:
  """Starts `train.py` with arguments; no device must have been touched."""
  with tempfile.TemporaryFile() as error:
    child = os.fork()
    if not child:
      _in_the_child(arguments, error.fileno())
    code, seconds = _wait(child)
    error.seek(0)
    text = error.read().decode(errors='replace')
  compiled = _COMPILED in text
  return Outcome(code, text.replace(_COMPILED, ''), seconds, compiled)


_COMPILED = '(something was compiled)\n'


def _in_the_child(arguments: list[str], error: int) -> None:
  """Ends this process."""
  code = 1
  try:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(error, 2)
    jax.monitoring.register_event_duration_secs_listener(_on_event)
    _stop_before_compiling()
    sys.argv = ['train.py', *arguments]
    runtime.run(train.main, schema.check)
    code = 0
  except SystemExit as e:
    if isinstance(e.code, str):
      print(e.code, file=sys.stderr)
    code = e.code if isinstance(e.code, int) else int(e.code is not None)
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stderr.flush()
    os._exit(code)


def _on_event(name: str, seconds: float, **_) -> None:
  if 'backend_compile' in name:
    os.write(2, _COMPILED.encode())


def _stop_before_compiling() -> None:
  make_setup = train.make_setup

  def stop():
    sys.exit(ACCEPTED)

  train.make_setup = lambda config: make_setup(config)._replace(init=stop)


def _wait(child: int) -> tuple[int, float]:
  """The exit status and the CPU seconds of a process that ends, or is ended."""
  until, found = time.monotonic() + _SECONDS, 0
  while not found:
    found, status, used = os.wait4(child, os.WNOHANG)
    if time.monotonic() > until:
      os.kill(child, signal.SIGKILL)
    time.sleep(0.005)
  return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime

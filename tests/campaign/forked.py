"""Starts `train.py`, and other work, as forks of one process.

That process has imported everything and touched no device. A fork reads its
command line, says what it says and ends with its exit status as
`python train.py` does; only the seconds of the imports are spared.
"""

import functools
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

import train
from configs import schema
from train_lib import runtime

ACCEPTED = 99  # the exit status of a run that would begin
_SECONDS = 600  # until a fork is ended; others may have the cores
_COMPILED = '(something was compiled)\n'


class Outcome(NamedTuple):
  """Attributes:
  code: the exit status.
  error: what was written to stderr.
  seconds: of CPU, without the imports: others may have the cores.
  compiled: whether anything had been compiled.
  """

  code: int
  error: str
  seconds: float
  compiled: bool

  def kind(self, option: str = '') -> str:
    """What came of a mistake, in words.

    Args:
      option: of whose parts a clear line names one.
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
  """Whether a line names an option, or a section it is of."""
  return any(
    re.search(rf'\b{re.escape(part)}', line) for part in option.split('.')
  )


def start(body: Callable[[], Any], output: int, error: int) -> int:
  """Forks: the child does `body`, with its streams, and ends; its number."""
  sys.stdout.flush()
  child = os.fork()
  if child:
    return child
  code = 1
  try:
    os.dup2(output, 1)
    os.dup2(error, 2)
    body()
    code = 0
  except SystemExit as e:
    if isinstance(e.code, str):
      print(e.code, file=sys.stderr)
    code = e.code if isinstance(e.code, int) else int(e.code is not None)
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def train_py(arguments: list[str], log: pathlib.Path) -> int:
  """Starts `train.py`, which writes to a file; its process."""
  with open(log, 'ab') as file:
    return start(
      functools.partial(run_train, arguments), file.fileno(), file.fileno()
    )


def until_it_compiles(arguments: list[str]) -> Outcome:
  """What `train.py` does until the first compilation would begin."""

  def body():
    jax.monitoring.register_event_duration_secs_listener(_on_event)
    make_setup = train.setup.make_setup
    train.setup.make_setup = lambda x: make_setup(x)._replace(init=stop)
    run_train(arguments)

  def stop():
    sys.exit(ACCEPTED)

  with tempfile.TemporaryFile() as error, open(os.devnull, 'wb') as null:
    child = start(body, null.fileno(), error.fileno())
    code, seconds = _wait(child, _SECONDS)
    error.seek(0)
    text = error.read().decode(errors='replace')
  compiled = _COMPILED in text
  return Outcome(code, text.replace(_COMPILED, ''), seconds, compiled)


def call(body: Callable[[], Any]) -> Any:
  """What `body` returns, as JSON has it; for what must touch a device."""
  with tempfile.TemporaryFile('w+') as result:

    def written():
      json.dump(body(), result)
      result.flush()

    code, _ = _wait(start(written, 1, 2), float('inf'))
    if code:
      raise RuntimeError(f'{body} ended with {code}')
    result.seek(0)
    return json.load(result)


def run_train(arguments: list[str]) -> None:
  sys.argv = ['train.py', *arguments]
  runtime.run(train.main, schema.check)


def _on_event(name: str, seconds: float, **_) -> None:
  if 'backend_compile' in name:
    os.write(2, _COMPILED.encode())


def _wait(child: int, seconds: float) -> tuple[int, float]:
  """The exit status and the CPU seconds of a process that ends, or is ended."""
  until, found = time.monotonic() + seconds, 0
  while not found:
    found, status, used = os.wait4(child, os.WNOHANG)
    if not found and time.monotonic() > until:
      os.kill(child, signal.SIGKILL)
    time.sleep(0.005)
  return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime

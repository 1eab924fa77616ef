"""What ends a run before its last step: signals, or being stuck."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import jax
from jax.experimental import multihost_utils

# A run in which nothing happens for so long is stuck; an evaluation or a
# compilation may take a while.
_STALL_SECONDS = 3600


# What a program exits with that is to be started again (EX_TEMPFAIL).
EXIT_CODE = 75


@contextlib.contextmanager
def closing(*resources):
  """Closes them in the end, the last first, whatever happens."""
  error = None
  try:
    yield
  except BaseException as e:
    error = e
  call_all(*(x.close for x in reversed(resources)), error=error)


def call_all(
  *functions: Callable[[], None], error: BaseException | None = None
) -> None:
  """Calls them all, whatever they raise.

  Raises:
    `error`, else the first that was raised: what follows, such as from a disk
    that is full for everybody, would hide it.
  """
  for function in functions:
    try:
      function()
    except BaseException as e:
      error = error or e
  if error is not None:
    raise error


class Preemption:
  """Tells the loop when to save and stop: SIGTERM, Ctrl-C and SIGHUP, on any
  process. A second Ctrl-C does not wait.

  With several processes JAX's own service, which knows SIGTERM alone, agrees on
  the step, since all must stop at the same one; alone, a flag is enough.
  """

  def __init__(self):
    self._signalled = False
    self.name = 'SIGTERM'
    signals = [signal.SIGINT, signal.SIGHUP]
    if jax.process_count() == 1:
      signals.append(signal.SIGTERM)
    # Whoever ignores one, as nohup does, goes on ignoring it.
    self._previous = {
      s: signal.signal(s, self._on_signal)
      for s in signals
      if signal.getsignal(s) is not signal.SIG_IGN
    }

  def _on_signal(self, signum, frame):
    self.name = signal.Signals(signum).name
    self._signalled = True
    if signum == signal.SIGINT:
      signal.signal(signum, signal.default_int_handler)
    if jax.process_count() > 1:
      signal.raise_signal(signal.SIGTERM)

  def reached(self, step: int) -> bool:
    """Asked after every step, on every process."""
    if jax.process_count() == 1:
      return self._signalled
    return multihost_utils.reached_preemption_sync_point(step)

  def close(self) -> None:
    """Gives the signal back to whoever had it."""
    for signum, handler in self._previous.items():
      signal.signal(signum, handler)


class Watchdog:
  """Ends a process that is stuck, such as in a collective that others miss.

  A process that dies is noticed by JAX (see `initialize`); one that lives and
  does nothing is not.
  """

  def __init__(self, seconds: float = _STALL_SECONDS):
    """Begins to watch: more than `seconds` between two steps are too many."""
    self._seconds, self._event = seconds, 'the start'
    self._last = time.monotonic()
    self._closed = threading.Event()
    threading.Thread(target=self._watch, daemon=True).start()

  def reached(self, step: int) -> None:
    """Tells that the run goes on."""
    self._event, self._last = f'step {step}', time.monotonic()

  def _watch(self):
    while not self._closed.wait(self._seconds / 10):
      idle = time.monotonic() - self._last
      if idle > self._seconds:
        faulthandler.dump_traceback()
        print(
          f'FATAL Process {jax.process_index()} of {jax.process_count()}: '
          f'nothing has happened for {idle:.0f} s since {self._event}; it may '
          'wait for a process that is stuck. Above is where it waits. Started '
          'again, the run resumes from its last checkpoint.',
          file=sys.stderr,
          flush=True,
        )
        os._exit(1)

  def close(self) -> None:
    self._closed.set()

"""One run a workdir: a lock that shows a sign of life.

The file holds the host and the process; its time is renewed while the run
lives. What was killed leaves one behind that soon is stale, and on the same
host at once.
"""

import json
import os
import pathlib
import socket
import threading
import time

NAME = 'lock.json'
_RENEW_SECONDS = 5.0
_STALE_SECONDS = 30.0


class Lock:
  """Holds a workdir from its making until `close`."""

  def __init__(self, workdir: str):
    """Takes the lock; waits where it has to see whether another run lives.

    Args:
      workdir: a folder that exists.

    Raises:
      ValueError: another run has it.
    """
    self._path = pathlib.Path(workdir) / NAME
    self._owner = {'host': socket.gethostname(), 'process': os.getpid()}
    while not self._create():
      self._wait_until_stale(workdir)
    self._closed = threading.Event()
    threading.Thread(target=self._renew, daemon=True).start()

  def _create(self) -> bool:
    try:
      with open(self._path, 'x') as file:
        json.dump(self._owner, file)
    except FileExistsError:
      return False
    return True

  def _wait_until_stale(self, workdir: str) -> None:
    """Removes the lock of a run that is dead."""
    try:
      owner = json.loads(self._path.read_text())
      host, process = owner['host'], int(owner['process'])
      seen = self._path.stat().st_mtime_ns
      age = time.time() - seen / 1e9
      # Of a container that began again the number may be the same.
      dead = host == self._owner['host'] and (
        process == self._owner['process'] or not _lives(process)
      )
      if not dead and 0 <= age < _STALE_SECONDS:
        # Clocks of hosts differ: only a renewed sign tells that it lives.
        until = time.monotonic() + (
          _STALE_SECONDS if host != self._owner['host'] else 2 * _RENEW_SECONDS
        )
        while time.monotonic() < until:
          time.sleep(_RENEW_SECONDS / 10)
          if self._path.stat().st_mtime_ns != seen:
            raise ValueError(
              f'--workdir: {workdir} is in use by process {process} on {host}; '
              'expected a folder of its own for every run.'
            )
    except FileNotFoundError:
      return  # It has just ended.
    except (json.JSONDecodeError, KeyError, TypeError):
      pass  # Half written by what was killed.
    self._path.unlink(missing_ok=True)

  def _renew(self) -> None:
    while not self._closed.wait(_RENEW_SECONDS):
      try:
        os.utime(self._path)
      except OSError:  # The disk may come back.
        continue

  def close(self) -> None:
    """Gives the workdir back."""
    self._closed.set()
    self._path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:  # Somebody else's.
    return True
  return True

"""One run a workdir: a lock that shows a sign of life.

The file holds the host and the process; a sign of it is renewed while the run
lives. What was killed leaves one behind that soon is stale, and on the same
host at once. In a bucket the conditions on a file's generation, which the
storage itself checks, see to it that one run alone makes, renews or removes it.
"""

import contextlib
import json
import os
import pathlib
import socket
import threading
import time
from typing import Any

from train_lib import places

NAME = 'lock.json'
_RENEW_SECONDS = 5.0
_STALE_SECONDS = 30.0


class Lock:
  """Holds a workdir from its making until `close`."""

  def __init__(self, workdir: str):
    """Takes the lock; waits where it has to see whether another run lives.

    Args:
      workdir: a folder that exists, or of a bucket.

    Raises:
      ValueError: another run has it.
    """
    path = places.of(workdir) / NAME
    self._file = _Object(path) if places.in_bucket(path) else _File(path)
    self._workdir, self._lost = workdir, False
    self._owner = {
      'host': socket.gethostname(),
      'process': os.getpid(),
      **self._file.owner(),
    }
    while not self._file.create(json.dumps(self._owner)):
      self._wait_until_stale()
    self._closed = threading.Event()
    threading.Thread(target=self._renew, daemon=True).start()

  def _wait_until_stale(self) -> None:
    """Removes the lock of a run that is dead."""
    seen = None
    try:
      text, seen = self._file.read()
      owner = json.loads(text)
      host, process = owner['host'], int(owner['process'])
      is_here = owner | {'process': 0} == self._owner | {'process': 0}
      # Of a container that began again the number may be the same.
      dead = is_here and (
        process == self._owner['process'] or not _lives(process)
      )
      if not dead and self._file.may_live(seen):
        # Clocks of hosts differ: only a renewed sign tells that it lives.
        until = time.monotonic() + (
          2 * _RENEW_SECONDS if is_here else _STALE_SECONDS
        )
        while time.monotonic() < until:
          time.sleep(_RENEW_SECONDS / 10)
          if self._file.read()[1] != seen:
            raise ValueError(
              f'--workdir: {self._workdir} is in use by process {process} on '
              f'{host}; expected a folder of its own for every run.'
            )
    except FileNotFoundError:
      return  # It has just ended.
    except (json.JSONDecodeError, KeyError, TypeError):
      pass  # Half written by what was killed.
    self._file.remove(seen)

  def _renew(self) -> None:
    while not self._closed.wait(_RENEW_SECONDS):
      try:
        self._lost = not self._file.renew()
      except OSError:  # The disk, or the network, may come back.
        continue
      if self._lost:
        return

  def check(self) -> None:
    """Raises ValueError if another run took this one for dead."""
    if self._lost:
      raise ValueError(
        f'--workdir: {self._workdir} was taken over by another run while this '
        'one showed no sign of life; this one ends.'
      )

  def close(self) -> None:
    """Gives the workdir back."""
    self._closed.set()
    if not self._lost:
      self._file.remove()


class _File:
  """On a disk: its time is the sign of life."""

  def __init__(self, path: pathlib.Path):
    self._path = pathlib.Path(path)

  def owner(self) -> dict[str, str]:
    """What tells the processes of hosts of one name apart."""
    return {}

  def create(self, text: str) -> bool:
    try:
      with open(self._path, 'x') as file:
        file.write(text)
    except FileExistsError:
      return False
    return True

  def read(self) -> tuple[str, int]:
    """The text, and the sign of life."""
    return self._path.read_text(), self._path.stat().st_mtime_ns

  def may_live(self, sign: int) -> bool:
    return 0 <= time.time() - sign / 1e9 < _STALE_SECONDS

  def renew(self) -> bool:
    """Whether it is still there for this run; a disk is believed."""
    os.utime(self._path)
    return True

  def remove(self, sign: Any = None) -> None:
    del sign
    self._path.unlink(missing_ok=True)


class _Object:
  """In a bucket: the sign of life is a note beside a file's generation."""

  def __init__(self, path):
    self._client, self._path = places.client(), os.fspath(path)
    bucket, _, name = self._path.removeprefix('gs://').partition('/')
    self._place = 'b/{}/o/{}', bucket, name
    self._generation = None

  def owner(self) -> dict[str, str]:
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id')
    space = pathlib.Path('/proc/self/ns/pid')  # A container has its own.
    try:
      return {'space': f'{boot.read_text().strip()} {os.readlink(space)}'}
    except OSError:
      return {'space': ''}

  @places.said()
  def create(self, text: str) -> bool:
    try:
      self._client.pipe_file(self._path, text.encode(), mode='create')
    except FileExistsError:
      return False
    self._generation, _ = self._sign()
    return True

  @places.said()
  def read(self) -> tuple[str, tuple[str, dict | None]]:
    return self._client.cat_file(self._path).decode(), self._sign()

  def _sign(self) -> tuple[str, dict | None]:
    found = self._client.call('GET', *self._place, json_out=True)
    return found['generation'], found.get('metadata')

  def may_live(self, sign: Any) -> bool:
    del sign  # The storage's clock is not this host's.
    return True

  @places.said()
  def renew(self) -> bool:
    try:
      self._client.call(
        'PATCH',
        *self._place,
        ifGenerationMatch=self._generation,
        json={'metadata': {'renewed': str(time.time())}},
      )
    except (FileNotFoundError, FileExistsError):  # Gone, or another's.
      return False
    return True

  @places.said()
  def remove(self, sign: tuple[str, dict | None] | None = None) -> None:
    generation = sign[0] if sign else self._generation
    with contextlib.suppress(FileNotFoundError, FileExistsError):
      self._client.call('DELETE', *self._place, ifGenerationMatch=generation)


def _lives(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:  # Somebody else's.
    return True
  return True

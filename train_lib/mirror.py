"""What a run appends to and draws, on a disk, and a copy of it in a bucket.

A bucket's files cannot be appended to, and libraries for events, pictures and
traces write to disks. So a run in a bucket has a folder of its own on this
machine, whose files are copied whenever they have changed: before a checkpoint
counts, so that whoever resumes from it finds all that was written until then;
every half minute, for those who watch; and in the end. A run in a folder writes
into it, and nothing is copied.
"""

import collections
import pathlib
import tempfile
import threading

from etils import epath

from train_lib import pictures, places, writer

_SECONDS = 30.0
_UNFINISHED = '.tmp', '.new'


class Mirror:
  """`folder` is where to write."""

  def __init__(self, workdir: str):
    """Nothing is written yet.

    Args:
      workdir: a folder, or of a bucket.

    Raises:
      ValueError: it is neither.
    """
    self._target = places.of(workdir)
    self.folder = str(workdir)
    self._copied = {}  # name -> size and time
    self._lock, self._closed = threading.Lock(), threading.Event()
    if places.in_bucket(self._target):
      # Until this object is not needed any more.
      self._temporary = tempfile.TemporaryDirectory(prefix='run-')
      self.folder = self._temporary.name
      places.STAND_INS[self.folder] = self._target
      threading.Thread(target=self._follow, daemon=True).start()

  @property
  def _is_elsewhere(self) -> bool:
    return places.in_bucket(self._target)

  def fetch(self, *names: str) -> None:
    """Copies files of the bucket into the folder, those that are there.

    Raises:
      OSError: they cannot be read.
    """
    for name in names if self._is_elsewhere else ():
      path = pathlib.Path(self.folder, name)
      try:
        with places.said():
          data = (self._target / name).read_bytes()
      except FileNotFoundError:
        continue
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)
      self._copied[name] = _version(path)

  def fetch_last_pictures(self) -> None:
    """Copies those of each album's last step."""
    if not self._is_elsewhere:
      return
    albums = collections.defaultdict(lambda: collections.defaultdict(list))
    for name in places.names(self._target / pictures.folder_of('', '')):
      album, _, file = name.rpartition('/')
      step = pictures.step_of(file)
      if step is not None:
        path = pictures.folder_of('', album) / file
        albums[album][step].append(str(path))
    for steps in albums.values():
      self.fetch(*steps[max(steps)])

  def copy(self) -> None:
    """Copies what has changed; waits for it.

    Raises:
      OSError: it cannot be written.
    """
    if not self._is_elsewhere:
      return
    with self._lock, places.said():
      for name in places.names(epath.Path(self.folder)):
        if name.endswith(_UNFINISHED):
          continue
        path = pathlib.Path(self.folder, name)
        try:
          version = _version(path)  # Before it is read: it may grow meanwhile.
        except FileNotFoundError:
          continue  # Of a moment.
        if self._copied.get(name) != version:
          places.client().put_file(str(path), str(self._target / name))
          self._copied[name] = version

  def _follow(self) -> None:
    while not self._closed.wait(_SECONDS):
      try:
        self.copy()
      except OSError as e:  # The next time, or a checkpoint will say so.
        writer.say(f'{self._target} cannot be written at present ({e}).')

  def close(self) -> None:
    """Copies a last time.

    Raises:
      OSError: it cannot be written.
    """
    self._closed.set()
    try:
      self.copy()
    except OSError as e:
      raise OSError(
        f'--workdir: {self._target} cannot be written ({e}); what is missing '
        'there goes with this process.'
      ) from e


def _version(path: pathlib.Path) -> tuple[int, int]:
  found = path.stat()
  return found.st_size, found.st_mtime_ns

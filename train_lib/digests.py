"""Digests of the files of a checkpoint: damage is found before it is restored.

A checkpoint counts from the moment that its digests lie beside it. They are
XXH3 of 128 bits, computed as fast as memory is read; it finds what chance
changes, and is no defence against who forges a checkpoint.
"""

import concurrent.futures
import hashlib
import json
import os

import xxhash
from etils import epath

from train_lib import places

NAME = 'digests.json'
_CHUNK = 2**20  # bytes
_SHA_256 = 64  # hexadecimal digits
_THREADS = min(16, max(2, os.cpu_count() or 2))


class DamagedError(OSError):
  """A file of a checkpoint is not what was written, or not there."""


def write(folder: epath.Path) -> None:
  """Writes the digests of all files in a folder, and in those in it."""
  names = [
    name
    for name in places.names(folder)
    if not name.rpartition('/')[2].startswith(NAME)
  ]
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    digests = pool.map(lambda name: _digest(folder / name), names)
    found = dict(zip(names, digests, strict=True))
  places.write_text(folder / NAME, json.dumps(found, indent=0))


def are_in(folder: epath.Path) -> bool:
  return (folder / NAME).exists()


def verify(folder: epath.Path) -> None:
  """Reads all files that the digests are of.

  Raises:
    DamagedError: names the first that is not what it was.
    PermissionError: one may not be read.
  """
  try:
    expected = json.loads((folder / NAME).read_text())
    if not isinstance(expected, dict) or not expected:
      raise ValueError(f'a {type(expected).__name__}')
  except FileNotFoundError as e:
    raise DamagedError(f'{folder / NAME} is missing') from e
  except ValueError as e:
    raise DamagedError(f'{folder / NAME} is damaged ({e!s:.100})') from e

  def check(item):
    name, digest = item
    try:
      found = _digest(folder / name, digest)
    except FileNotFoundError as e:
      raise DamagedError(f'{folder / name} is missing') from e
    except (ValueError, IsADirectoryError, NotADirectoryError) as e:
      raise DamagedError(f'{folder / NAME} names {name!r:.100}') from e
    if found != digest:
      raise DamagedError(
        f'{folder / name} is damaged: it was written otherwise'
      )

  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    for _ in pool.map(check, expected.items()):
      pass


def _digest(path: epath.Path, like: str = '') -> str:
  is_old = isinstance(like, str) and len(like) == _SHA_256
  made = hashlib.sha256() if is_old else xxhash.xxh3_128()
  with path.open('rb') as file:
    while chunk := file.read(_CHUNK):
      made.update(chunk)
  return made.hexdigest()

"""Where a run's files are: a folder, or gs://bucket/name in Google's storage.

Either is an `epath.Path`. A bucket lacks what folders have: files cannot be
appended to (`train_lib.mirror` does without), nothing is renamed, and folders
are there only by the names of what is in them. In return a file appears there
whole, and a file is made by one process alone.
"""

import contextlib
import importlib.util
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterator

import fsspec
import fsspec.config
from etils import epath

# One client for all: gcsfs, also where TensorFlow is installed. What others
# write, such as TensorStore, is to be seen at once.
os.environ.setdefault('EPATH_USE_TF', 'no')
fsspec.config.conf.setdefault('gcs', {}).setdefault('use_listings_cache', False)
logging.getLogger('gcsfs').setLevel(logging.CRITICAL)  # It raises, as well.
logging.getLogger('fsspec').setLevel(logging.WARNING)

_BUCKET = 'gs://'
# Folders on this machine, and the places whose files they have for a while.
STAND_INS: dict[str, epath.Path] = {}


def of(path: str | os.PathLike, option: str = '--workdir') -> epath.Path:
  """A folder's absolute path, or that of a bucket, if there is a client for it.

  Args:
    path: as users write it.
    option: which has it, for errors.

  Raises:
    ValueError: it is neither, or the client is missing.
  """
  path = os.fspath(path)
  scheme = re.match(r'\w+://', path)
  if scheme and scheme[0] != _BUCKET:
    raise ValueError(
      f'{option}: found {path}; expected a folder or {_BUCKET}... Mount other '
      'storage as a folder.'
    )
  if not scheme:
    return epath.Path(path).absolute()
  if not re.match(r'gs://[a-z0-9][-_.a-z0-9]+/[^/]', path):
    raise ValueError(
      f'{option}: found {path}; expected {_BUCKET}BUCKET/NAME, such as '
      'gs://my-bucket/runs/first.'
    )
  if not _has_client():
    raise ValueError(
      f"{option}: {path} needs gcsfs; expected `pip install -e '.[gcs]'`, or "
      'the bucket mounted as a folder (launch/worker.sh shows how).'
    )
  return epath.Path(path)


def _has_client() -> bool:
  return importlib.util.find_spec('gcsfs') is not None


def in_bucket(path: epath.Path) -> bool:
  return os.fspath(path).startswith(_BUCKET)


def client() -> fsspec.AbstractFileSystem:
  """Of all buckets; the one that `epath` has, too."""
  return fsspec.filesystem('gcs', finalize_on_close=True)


def make(workdir: str | os.PathLike) -> epath.Path:
  """Makes the folder of a run if need be, and sees that it can be written.

  Raises:
    ValueError: it cannot.
  """
  workdir = os.fspath(workdir)
  if workdir.startswith('~'):
    raise ValueError(
      f'--workdir: found {workdir}; expected the path of a folder, such as '
      f'{os.path.expanduser(workdir)}.'
    )
  path = of(workdir)
  if wrong := set('*?[]') & set(os.fspath(path)):
    raise ValueError(
      f'--workdir: found {workdir}; expected a path without {min(wrong)}, '
      'which Orbax takes for a pattern.'
    )
  try:
    with said():
      path.mkdir(parents=True, exist_ok=True)
      if in_bucket(path):
        probe = path / f'.written-{secrets.token_hex(8)}'
        probe.write_text('')
        probe.unlink()
      else:
        with tempfile.TemporaryFile(dir=path):
          pass
  except OSError as e:
    reason = f'{e}'
    if in_bucket(path) and isinstance(e, FileNotFoundError):
      reason = 'there is no such bucket, or not for this account'
    raise ValueError(
      f'--workdir: {workdir} cannot be written ({reason}); expected a folder '
      'where checkpoints and metrics can be saved.'
    ) from e
  return path


@contextlib.contextmanager
def said() -> Iterator[None]:
  """What goes wrong with a bucket inside is an OSError, as with a disk.

  Raises:
    OSError: in the place of whatever the client raises.
  """
  try:
    yield
  except OSError:
    raise
  except Exception as e:  # Of HTTP, of authentication, of its own.
    raise OSError(f'{type(e).__name__}: {" ".join(str(e).split()):.200}') from e


def write_text(path: epath.Path, text: str) -> None:
  """Writes a file whole or not at all; one that is there is replaced."""
  data = text.encode()
  if in_bucket(path):
    path.write_bytes(data)
    return
  new = path.with_name(f'{path.name}.new')
  new.write_bytes(data)
  new.replace(path)


def names(folder: epath.Path) -> list[str]:
  """Of the files in a folder and in those in it: 'a/b.txt'; [] without it."""
  if in_bucket(folder):
    root = os.fspath(folder).removeprefix(_BUCKET).rstrip('/') + '/'
    found = (path.removeprefix(root) for path in client().find(root))
    return sorted(name for name in found if name and not name.endswith('/'))
  return sorted(
    os.path.relpath(os.path.join(place, name), folder)
    for place, _, files in os.walk(folder)
    for name in files
  )


def move(path: epath.Path, target: epath.Path) -> None:
  """Moves a folder, in the place of what is at the target."""
  target.parent.mkdir(parents=True, exist_ok=True)
  if target.exists():
    target.rmtree()
  if in_bucket(path):  # File by file; a bucket has no other way.
    found = names(path)
    client().mv(*([str(x / name) for name in found] for x in (path, target)))
  else:
    path.rename(target)


def is_stand_in(folder: str | os.PathLike) -> bool:
  """Whether what is written here will be copied elsewhere, each file whole."""
  return os.fspath(folder) in STAND_INS


def shown(path: str | os.PathLike) -> str:
  """The path by which users know a file, also one in a stand-in."""
  for folder, place in STAND_INS.items():
    if epath.Path(path).is_relative_to(folder):
      return str(place / os.path.relpath(path, folder))
  return str(path)

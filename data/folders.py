"""Folders and lists as people have them: what counts, what is passed by."""

import collections
import functools
import os
import pathlib
from collections.abc import Sequence

from train_lib import writer

VIDEO_SUFFIXES = (
  *('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg'),
  *('.ogv', '.flv', '.wmv', '.ts', '.3gp'),
)
SOUND_SUFFIXES = (
  *('.wav', '.flac', '.mp3', '.ogg', '.oga', '.opus', '.m4a', '.aac'),
  *('.aif', '.aiff', '.wma'),
)
# What file managers leave beside files; and all that begins with a dot, such as
# macOS's ._a.jpg and .DS_Store.
_LITTER = ('thumbs.db', 'desktop.ini', '__macosx')


@functools.cache
def say_once(message: str) -> None:
  """A line on the console: data sets are opened by several evaluators."""
  writer.say(message)


def files(
  folder: str | os.PathLike,
  suffixes: Sequence[str],
  *,
  recursive: bool = False,
) -> list[pathlib.Path]:
  """The files in a folder that have one of some suffixes, sorted by name.

  Suffixes are compared without case. Files that begin with a dot and
  file managers' litter are passed by; what else lies there is counted on
  stdout, and so are folders that are not looked into: those of a folder that
  is not searched recursively, and links to folders, which may be rings.

  Args:
    folder: to look in.
    suffixes: in lower case, with their dot.
    recursive: whether to look in the folders in it, too.

  Raises:
    FileNotFoundError: there is no such folder.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise FileNotFoundError(f'{folder}: expected a folder, there is none.')
  entries = [
    p
    for p in (root.rglob('*') if recursive else root.iterdir())
    if all(map(_is_meant, p.relative_to(root).parts))
  ]
  inner = [p for p in entries if p.is_dir()]
  entries = [p for p in entries if not p.is_dir()]
  found = sorted(p for p in entries if p.suffix.lower() in suffixes)
  others = collections.Counter(
    p.suffix.lower() or p.name
    for p in entries
    if p.suffix.lower() not in suffixes
  )
  others['folders'] = len(inner)
  if recursive:
    others['links to folders'] = sum(p.is_symlink() for p in inner)
    del others['folders']
  others = +others  # what there is
  if others:
    kinds = ', '.join(f'{n} {suffix}' for suffix, n in sorted(others.items()))
    say_once(f'{folder}: passed by {kinds}; expected {", ".join(suffixes)}.')
  return found


def say_beside(folder: str | os.PathLike, suffixes: Sequence[str]) -> None:
  """Counts, on stdout, files that lie beside the folders that are meant."""
  beside = [
    p
    for p in pathlib.Path(folder).iterdir()
    if _is_meant(p.name) and p.suffix.lower() in suffixes and p.is_file()
  ]
  if beside:
    say_once(
      f'{folder}: passed by {len(beside)} files beside its folders, such as '
      f'{min(beside).name}.'
    )


def by_stem(paths: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
  """{'a': .../a.jpg}.

  Raises:
    ValueError: two have one stem.
  """
  stems = {}
  for path in paths:
    if path.stem in stems:
      raise ValueError(
        f'{path}: found {stems[path.stem].name}, too; expected one of them.'
      )
    stems[path.stem] = path
  return stems


def subfolders(folder: str | os.PathLike) -> list[pathlib.Path]:
  """The folders in a folder, sorted by name, without litter."""
  root = pathlib.Path(folder)
  return sorted(p for p in root.iterdir() if _is_meant(p.name) and p.is_dir())


def read_text(path: str | os.PathLike) -> str:
  """A text in UTF-8, with or without a byte order mark, or in UTF-16 with one.

  Raises:
    ValueError: naming the file, which is missing or no such text.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except OSError as e:
    raise ValueError(f'{path}: cannot be read: {e.strerror}.') from e
  utf16 = data[:2] in (b'\xff\xfe', b'\xfe\xff')
  try:
    text = data.decode('utf-16' if utf16 else 'utf-8-sig')
  except UnicodeDecodeError as e:
    raise ValueError(
      f'{path}: expected text in UTF-8; byte {e.start} is {data[e.start]:#x}.'
    ) from None
  if '\0' in text:
    raise ValueError(
      f'{path}: expected text in UTF-8, found a zero; the first bytes of '
      'UTF-16 must say so.'
    )
  return text


def lines_of(text: str) -> list[str]:
  """Its lines as editors show them: other signs that Unicode lets begin a line,
  such as those of word processors, are within one."""
  return text.replace('\r\n', '\n').replace('\r', '\n').split('\n')


def read_lines(path: str | os.PathLike) -> tuple[str, ...]:
  """The lines of a text that are not blank, stripped.

  Raises:
    ValueError: naming the file: none, no text, or a line that comes twice.
  """
  lines = [line.strip() for line in lines_of(read_text(path))]
  lines = tuple(line for line in lines if line)
  twice = [x for x, n in collections.Counter(lines).items() if n > 1]
  if twice or not lines:
    raise ValueError(
      f'{path}: expected lines that differ, found '
      + (f'{twice[0]!r} twice.' if twice else 'none.')
    )
  return lines


def _is_meant(name: str) -> bool:
  return not name.startswith('.') and name.lower() not in _LITTER

"""What may be meant in users' own data and rarely is: said, not refused."""

import collections
import functools
import hashlib
import pathlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from data import folders
from data.tables import Part


def say(
  root: pathlib.Path,
  examples: Mapping[str, Sequence[tuple[pathlib.Path | Part, str | float]]],
  what: str,
) -> None:
  """Names classes that differ only in case, and files that are the same.

  The same file in two splits makes an evaluation look better than it is; in two
  classes one of them is wrong.

  Args:
    root: of the data, for messages.
    examples: split -> (file or part of one, label).
    what: the files are.
  """
  say_names(root, (x for pairs in examples.values() for _, x in pairs))
  uses = collections.defaultdict(set)
  for split, pairs in examples.items():
    for file, label in pairs:
      path = file.path if isinstance(file, Part) else file
      uses[path].add((split, label))
  same = [
    (f'{x[0]} is {x[1]}', {use for path in x for use in uses[path]})
    for x in _same(list(uses))
  ]
  _say_same(root, what, same)


def say_names(root: pathlib.Path, labels: Iterable[str | float]) -> None:
  """Names classes that differ only in case, or in how an accent is written."""
  alike = collections.defaultdict(list)
  for name in sorted({x for x in labels if isinstance(x, str)}):
    alike[unicodedata.normalize('NFC', name).casefold()].append(name)
  for names in alike.values():
    if len({x.casefold() for x in names}) > 1:
      folders.say_once(f'{root}: classes that look the same: {names}.')
    elif len(names) > 1:
      folders.say_once(f'{root}: classes that differ only in case: {names}.')


def say_texts(
  root: pathlib.Path,
  examples: Mapping[str, Sequence[tuple[Sequence[str], str | float]]],
) -> None:
  """As `say`, of split -> (texts, label)."""
  say_names(root, (x for pairs in examples.values() for _, x in pairs))
  uses = collections.defaultdict(set)
  for split, pairs in examples.items():
    for texts, label in pairs:
      uses[tuple(texts)].add((split, label))
  same = [(repr(' '.join(x)[:40]), found) for x, found in uses.items()]
  _say_same(root, 'texts', same)


def _say_same(root, what: str, same: Sequence[tuple[str, set]]) -> None:
  """Counts the things that are in two splits or in two classes.

  Args:
    same: each one's name, and its (split, label).
  """
  for i, kind in enumerate(('splits', 'classes')):
    twice = [name for name, uses in same if len({x[i] for x in uses}) > 1]
    if twice:
      folders.say_once(
        f'{root}: {len(twice)} of the same {what} in two {kind}, such as '
        f'{twice[0]}.'
      )


def _same(paths: Sequence[pathlib.Path]) -> list[list[pathlib.Path]]:
  """Groups of files with the same bytes; only those of one size are read."""
  sizes = collections.defaultdict(list)
  for path in paths:
    try:
      stat = path.stat()
    except OSError:
      continue  # Whoever opens it says so.
    sizes[stat.st_size].append((path, stat.st_mtime_ns))
  groups = collections.defaultdict(list)
  for size, found in sizes.items():
    for path, modified in found if len(found) > 1 else ():
      digest = _digest(path, modified)
      if digest is not None:
        groups[size, digest].append(path)
  return [group for group in groups.values() if len(group) > 1]


@functools.cache
def _digest(path: pathlib.Path, modified: int) -> bytes | None:
  del modified  # The file is still the same.
  try:
    with path.open('rb') as file:
      return hashlib.file_digest(file, 'sha256').digest()
  except OSError:
    return None

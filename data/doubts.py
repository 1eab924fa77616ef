"""What may be meant in users' own data and rarely is: said, not refused."""

import collections
import functools
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

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
  classes = {x for pairs in examples.values() for _, x in pairs}
  alike = collections.defaultdict(list)
  for name in sorted(x for x in classes if isinstance(x, str)):
    alike[name.casefold()].append(name)
  for names in alike.values():
    if len(names) > 1:
      folders.say_once(f'{root}: classes that differ only in case: {names}.')
  uses = collections.defaultdict(set)
  for split, pairs in examples.items():
    for file, label in pairs:
      path = file.path if isinstance(file, Part) else file
      uses[path].add((split, label))
  for paths in _same(list(uses)):
    found = {use for path in paths for use in uses[path]}
    for i, kind in enumerate(('splits', 'classes')):
      if len({use[i] for use in found}) > 1:
        folders.say_once(
          f'{root}: the same {what} in two {kind}: {paths[0]} is {paths[1]}.'
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

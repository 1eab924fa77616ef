"""Users' own sounds and films: a folder a class, or a table of parts of files.

As data/images/folder.py, where a label may be several, `dog|rain`, and a table
may have the columns start and end, in seconds: then a file may come in several
rows. What cannot be read is left out, named and counted.
"""

import concurrent.futures
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data import folders, splits
from data.images import folder
from data.tables import Part


def labelled(
  split: str,
  data_dir: str | None,
  *,
  suffixes: Sequence[str],
  what: str,
  read: Callable[[Part], dict[str, Any]],
  one_label: bool = False,
) -> list[dict[str, Any]]:
  """What `read` makes of each file, with its labels.

  Args:
    split: which.
    data_dir: a folder or a table.
    suffixes: of the files.
    what: they are, for messages.
    read: raises ValueError or OSError where it cannot. What it returned is kept
      in memory as long as the file does not change.
    one_label: whether several labels are refused.

  Returns:
    Each file's, with `labels` int32 [any number], `file_name` and `classes`,
    all names sorted.

  Raises:
    FileNotFoundError, ValueError: naming what cannot be used.
  """
  root, examples = folder.labelled_files(data_dir, suffixes, what, True)
  labels = [label for pairs in examples.values() for _, label in pairs]
  if any(isinstance(x, float) for x in labels):
    raise ValueError(f'{root}: expected a column label, found numbers.')
  several = [x for x in labels if len(_names(x)) != 1]
  if several and one_label:
    raise ValueError(
      f'{root}: expected one label for each of the {what}, found '
      f'{several[0]!r}.'
    )
  classes = folder.sort_names({name for x in labels for name in _names(x)})
  if len(classes) < 2:
    raise ValueError(
      f'{root}: expected two classes or more, found {list(classes)}.'
    )
  split = splits.called(split, examples)
  pairs = examples[split]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    contents = list(pool.map(lambda x: _read(read, x[0]), pairs))
  _say_broken(root, what, contents)
  found = [
    content
    | {
      'labels': np.int32([classes.index(name) for name in _names(label)]),
      'file_name': str(part),
      'classes': classes,
    }
    for (part, label), content in zip(pairs, contents, strict=True)
    if not isinstance(content, str)
  ]
  present = {k for x in found for k in x['labels'].tolist()}
  absent = [name for k, name in enumerate(classes) if k not in present]
  if absent and split in ('train', 'training'):
    raise ValueError(
      f'{root}: expected {what} of every class in the split {split!r}, found '
      f'none of {absent}.'
    )
  return found


def _names(label: str) -> list[str]:
  return [name.strip() for name in label.split('|') if name.strip()]


def _say_broken(root, what: str, contents: Sequence[Any]) -> None:
  broken = [x for x in contents if isinstance(x, str)]
  for message in broken[:20]:
    folders.say_once(f'Left out: {message}')
  if broken:
    folders.say_once(
      f'{root}: {len(broken)} of {len(contents)} {what} cannot be read.'
    )
  if len(broken) == len(contents):
    raise ValueError(
      f'{root}: none of the {what} can be read; the first: {broken[0]}'
    )


def _read(read, part: Part) -> dict[str, Any] | str:
  """What is in it, or what is wrong with it."""
  try:
    return _kept(read, part, part.path.stat().st_mtime_ns)
  except (ValueError, OSError) as e:
    text = ' '.join(str(e).split())
    return text if str(part.path) in text else f'{part}: {text}'


@functools.lru_cache(None)
def _kept(read, part: Part, modified: int) -> dict[str, Any]:
  del modified  # The file is still the same.
  return read(part)

"""Your own photographs: a folder a class, or a table.

  DIR/dog/a.jpg, DIR/cat/b.png             a split is made by a hash of the name
  DIR/train/dog/a.jpg, DIR/val/cat/b.png   the splits are folders
  TABLE.csv (or .tsv, .jsonl)              file, label or number[, split, group]

where DIR or TABLE is config.data.data_dir; files of a table are relative to it.
Where a split is missing, a fifth is 'validation' and the rest 'train', rows of
one group together. Pictures are taken as a viewer shows them, see
`image_files`; those that cannot be read are left out, named and counted.
"""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import doubts, folders, image_files, splits, tables
from data.images import imagenet

_SPLITS = ('train', 'training', 'validation', 'valid', 'val', 'dev', 'test')


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """`image` (a path), `label`, `file_name` and `classes`, all names sorted; of
  numbers `num_outputs` instead of `classes`.

  Raises:
    FileNotFoundError: there is no such folder or table, or no image.
    ValueError: naming what cannot be used: a class without images, a column
      that is missing.
  """
  root, examples = labelled_files(data_dir, image_files.SUFFIXES, 'images')
  classes = {label for pairs in examples.values() for _, label in pairs}
  are_numbers = all(isinstance(x, float) for x in classes)
  if not are_numbers:
    classes = sort_names(classes)
    if len(classes) < 2:
      raise ValueError(
        f'{data_dir}: expected two classes or more, found {list(classes)}.'
      )
  split = splits.called(split, examples)
  labels = {path: label for path, label in examples[split]}
  chosen = image_files.readable(list(labels))
  base = root if root.is_dir() else root.parent
  found = [
    {
      'image': path,
      'label': labels[path],
      'file_name': _relative(path, base),
    }
    for path in chosen
  ]
  if are_numbers:
    return [x | {'num_outputs': 1} for x in found]
  absent = sorted(set(classes) - {labels[path] for path in chosen})
  if absent and split in ('train', 'training'):
    raise ValueError(
      f'{data_dir}: expected images of every class in the split {split!r}, '
      f'found none of {absent}.'
    )
  return [
    x | {'label': classes.index(x['label']), 'classes': classes} for x in found
  ]


def labelled_files(
  data_dir: str | None,
  suffixes: Sequence[str],
  what: str,
  as_parts: bool = False,
) -> tuple[pathlib.Path, dict[str, list]]:
  """The folder or table, and split -> [(file, label, a number if a float)].

  Args:
    data_dir: see the top of this file.
    suffixes: of the files, in lower case.
    what: they are, for errors.
    as_parts: files are `tables.Part`; a table may have start and end.

  Raises:
    FileNotFoundError, ValueError: see `source`.
  """
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a folder with a folder for each class, '
      'or a table with the columns file and label; found None.'
    )
  root = pathlib.Path(data_dir).expanduser()
  if root.is_dir():
    found = _of_folders(root, suffixes, what)
    if as_parts:
      found = {
        split: [(tables.Part(path), label) for path, label in pairs]
        for split, pairs in found.items()
      }
  elif root.suffix.lower() in tables.SUFFIXES:
    found = _of_table(root, as_parts)
  else:
    found = None
  if found is not None:
    doubts.say(root, found, what)
    return root, found
  raise FileNotFoundError(
    f'config.data.data_dir: expected a folder or a table '
    f'({", ".join(tables.SUFFIXES)}), found neither at {data_dir}.'
  )


derived = tables.derived_of_labels


def sort_names(names) -> tuple[str, ...]:
  """Names of classes in the order of their labels: numbers as numbers."""
  if all(name.isdecimal() for name in names):
    return tuple(sorted(names, key=lambda name: (int(name), name)))
  return tuple(sorted(names))


def synthetic(split: str, num_examples: int = 32) -> list[dict[str, Any]]:
  """JPEG files of ImageNet's kind, in four classes."""
  classes = ('ash', 'birch', 'cedar', 'fir')
  return [
    example | {'label': int(example['label']) % 4, 'classes': classes}
    for example in imagenet.synthetic(split, num_examples)
  ]


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  image_size: int,
  crop_fraction: float = 0.9,
  resize_last: bool = False,
  color_jitter: float = 0.0,
  augment: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
  """`imagenet.preprocess`, which says what the options are."""
  image = example['image']
  if not isinstance(image, np.ndarray):
    image = np.asarray(image_files.read_image(image))
  found = imagenet.preprocess(
    {'image': image, 'label': 0},
    train=train,
    rng=rng,
    image_size=image_size,
    crop_fraction=crop_fraction,
    resize_last=resize_last,
    color_jitter=color_jitter,
    augment=augment,
  )
  kind = np.int32 if 'classes' in example else np.float32
  return found | {'label': kind(example['label'])}


on_device = imagenet.on_device


def _of_folders(root, suffixes, what) -> dict[str, list]:
  """Split -> [(path, class)]."""
  inner = folders.subfolders(root)
  named = [folder for folder in inner if folder.name.lower() in _SPLITS]
  if len(named) > 1 and all(map(folders.subfolders, named)):
    beside = [folder.name for folder in inner if folder not in named]
    if beside:
      raise ValueError(
        f'{root}: expected folders of splits alone, or of classes; found '
        f'{beside} beside {[folder.name for folder in named]}.'
      )
    return {x.name: _of_classes(x, suffixes, what) for x in inner}
  found = collections.defaultdict(list)
  for path, label in _of_classes(root, suffixes, what):
    found[splits.by_hash(_relative(path, root))].append((path, label))
  _say_split(root, found)
  return found


def _of_classes(root, suffixes, what) -> list[tuple[pathlib.Path, str]]:
  folders.say_beside(root, suffixes)
  classes = folders.subfolders(root)
  if not classes:
    raise FileNotFoundError(
      f'{root}: expected a folder for each class, found none.'
    )
  found = []
  for folder in classes:
    paths = folders.files(folder, suffixes, recursive=True)
    if not paths:
      raise ValueError(
        f'{folder}: expected {what} ({", ".join(suffixes)}), found none.'
      )
    found += [(path, folder.name) for path in paths]
  return found


def _of_table(path: pathlib.Path, as_parts: bool) -> dict[str, list]:
  """Split -> [(path or part, class)]."""
  found, seen = collections.defaultdict(list), {}
  rows = tables.read(path, ('file',))
  kind = tables.label_column(path, rows[0], 'file')
  for row in rows:
    where = f'{path}, line {row["line"]}'
    for name in ('file', kind):
      if not row.get(name):
        raise ValueError(f'{where}: expected a {name}, found none.')
    file = tables.part(path, row) if as_parts else tables.file(path, row)
    if file in seen:
      raise ValueError(f'{where}: {row["file"]} is in line {seen[file]}, too.')
    seen[file] = row['line']
    if 'split' in row:
      if not row['split']:
        raise ValueError(f'{where}: expected a split, found none.')
      split = row['split']
    else:
      split = splits.by_hash(row.get('group') or row['file'])
    label = row[kind]
    if kind == 'number':
      label = tables.number(where, label)
    found[split].append((file, label))
  if 'split' not in rows[0]:
    _say_split(path, found)
  return found


def _say_split(where: pathlib.Path, found: Mapping[str, list]) -> None:
  numbers = ', '.join(f'{len(found[x])} {x}' for x in sorted(found))
  folders.say_once(f'{where}: split by a hash of the names: {numbers}.')


def _relative(path: pathlib.Path, root: pathlib.Path) -> str:
  try:
    return path.relative_to(root).as_posix()
  except ValueError:
    return str(path)

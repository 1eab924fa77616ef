"""Arrays as people have them: .npz, .npy, Parquet, and tables of numbers.

What is read is numbers and text: nothing that a file contains is executed.

Letters: E examples, M elements, C channels, D dimensions, O outputs.
"""

import os
import pathlib
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from data import folders, tables

SUFFIXES = ('.npz', '.npy', '.parquet', *tables.SUFFIXES)
NAMES = (
  *('x', 'mask', 'coordinates', 'queries', 'y', 'y_mask'),
  *('split', 'group', 'columns'),
)
# Columns that pandas writes beside those of a table.
_ROW_NUMBERS = re.compile(r'|unnamed: 0|__index_level_0__')
_OTHER_NAMES = {'label': 'y', 'labels': 'y', 'points': 'coordinates'}


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """The arrays of a file, or of a folder with a .npy for each, by NAMES.

  A .npy is `x`, and `number` is y of numbers. A table without a column x is one
  of numbers: of all columns but y, split and group, in order, it makes x
  [E, M, 1], and `columns` are their names. Lists of a Parquet file that differ
  in length are filled up, and `mask` says so.

  Raises:
    ValueError: naming the file and what is wrong with it.
  """
  path = pathlib.Path(path)
  suffix = path.suffix.lower()
  if path.is_dir():
    found = {file.stem: _load(file) for file in folders.files(path, ('.npy',))}
  elif not path.exists():
    raise ValueError(f'{path}: there is no such file.')
  elif suffix == '.npy':
    found = {'x': _load(path)}
  elif suffix == '.npz':
    found = _load(path)
  elif suffix in SUFFIXES:
    found = _of_table(path, _columns(path))
  else:
    raise ValueError(
      f'{path}: expected arrays ({", ".join(SUFFIXES)}), found {suffix!r}.'
    )
  named = {}
  for name, array in found.items():
    known = _OTHER_NAMES.get(name.lower(), name.lower())
    if known == 'number':
      known, array = 'y', _as_numbers(path, array)
    if known not in NAMES:
      folders.say_once(f'{path}: passed by {name}; expected {list(NAMES)}.')
    elif known in named:
      raise ValueError(f'{path}: found {known} twice, the second as {name}.')
    else:
      named[known] = array
  return named


def _as_numbers(path, array: np.ndarray) -> np.ndarray:
  if array.dtype.kind not in 'biuf':
    raise ValueError(f'{path}: number: expected numbers, found {array.dtype}.')
  return array.astype(np.float64)


def _load(path: pathlib.Path) -> Any:
  """What NumPy saved, without what would have to be executed."""
  try:
    found = np.load(path, allow_pickle=False)
    return found if isinstance(found, np.ndarray) else dict(found)
  except (ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
    if 'allow_pickle' in str(e):
      raise ValueError(
        f'{path}: expected numbers, found Python objects, which are not read; '
        'expected examples filled up to one length, and a mask [E, M].'
      ) from None
    raise ValueError(f'{path}: no file of NumPy ({e}).') from None


def _columns(path: pathlib.Path) -> dict[str, Sequence[Any]]:
  """Column -> a value for each row."""
  if path.suffix.lower() != '.parquet':
    rows = tables.read(path, ())
    return {
      name: [row[name] for row in rows] for name in rows[0] if name != 'line'
    }
  try:
    import pyarrow
    from pyarrow import parquet
  except ImportError as e:
    raise ValueError(f'{path}: Parquet needs pyarrow ({e}).') from e
  try:
    table = parquet.read_table(path)
  except (pyarrow.ArrowException, OSError) as e:
    raise ValueError(f'{path}: no Parquet file ({e}).') from None
  return table.to_pydict()


def _of_table(path, columns) -> dict[str, np.ndarray]:
  columns = {
    _OTHER_NAMES.get(name.lower(), name.lower()): x
    for name, x in columns.items()
  }
  texts = {
    name: np.array(list(map(str, columns.pop(name))))
    for name in ('split', 'group')
    if name in columns
  }
  if 'x' in columns or 'coordinates' in columns:
    found, mask = {}, None
    for name in [x for x in columns if x in (*NAMES, 'number')]:
      found[name], present = _stacked(path, name, columns[name])
      if name in ('x', 'coordinates') and not present.all():
        mask = present.astype(np.float32)
    return found | texts | ({} if mask is None else {'mask': mask})
  y = {}
  for name in ('y', 'number'):
    if name in columns:
      y[name] = _stacked(path, name, columns.pop(name))[0]
  for name in [x for x in columns if _ROW_NUMBERS.fullmatch(x)]:
    folders.say_once(f'{path}: passed by the column {name!r}, row numbers.')
    del columns[name]
  if not columns:
    raise ValueError(f'{path}: expected columns of numbers, found none.')
  numbers = [_numbers(path, name, x) for name, x in columns.items()]
  found = {'x': np.stack(numbers, axis=1)[..., None]}
  return found | {'columns': np.array(list(columns))} | y | texts


def _numbers(path, name, values) -> np.ndarray:
  """float32 [E] of a column."""
  for row, value in enumerate(values, 1):
    try:
      float(value)
    except (TypeError, ValueError):
      raise ValueError(
        f'{path}: column {name}, row {row}: expected a number, found {value!r}.'
      ) from None
  return np.array([float(value) for value in values], np.float32)


def _stacked(path, name, values) -> tuple[np.ndarray, np.ndarray]:
  """An array of rows filled up with zeros, and which elements [E, M] are."""
  if not values or not isinstance(values[0], list):
    array = np.array(values)
    if array.dtype.kind in 'US':  # CSV has texts only.
      array = _as_written(array)
    if array.dtype == object:
      raise ValueError(f'{path}: column {name}: values are missing.')
    return array, np.ones((len(array), 1), bool)
  rows = []
  for i, value in enumerate(values):
    try:
      rows.append(np.array(value, None if value else np.float32))
    except (ValueError, TypeError) as e:
      raise ValueError(f'{path}: column {name}, row {i + 1}: {e}.') from None
  inner = {row.shape[1:] for row in rows if len(row)}
  if len(inner) > 1 or any(row.dtype == object for row in rows):
    raise ValueError(
      f'{path}: column {name}: expected lists that differ in length only, '
      f'found {sorted(inner)}.'
    )
  longest = max(map(len, rows))
  shape = (len(rows), longest, *(inner.pop() if inner else ()))
  array = np.zeros(shape, np.result_type(*rows))
  present = np.zeros(shape[:2], bool)
  for i, row in enumerate(rows):
    array[i, : len(row)] = row.reshape(-1, *shape[2:])
    present[i, : len(row)] = True
  return array, present


def _as_written(texts: np.ndarray) -> np.ndarray:
  """Whole numbers, numbers, or the texts themselves."""
  for dtype in (np.int64, np.float64):
    try:
      return texts.astype(dtype)
    except ValueError:
      continue
  return texts

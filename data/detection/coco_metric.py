"""COCO's average precision of boxes and masks; pycocotools is the referee.

Letters: H, W of an image, D detections, M cells of a mask's side.
"""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data.detection import coco_json

# COCOeval's twelve figures, in its order.
NAMES = (
  *('ap', 'ap50', 'ap75', 'ap_small', 'ap_medium', 'ap_large'),
  *('ar1', 'ar10', 'ar100', 'ar_small', 'ar_medium', 'ar_large'),
)


def ground_truth(examples: Iterable[dict[str, Any]]) -> dict[str, Any]:
  """A COCO dictionary of `coco.source`'s examples, crowds included.

  Objects without an outline have that of their box. Numbers are new, from 1:
  COCOeval takes an object with number 0 for none.
  """
  images, annotations, categories = [], [], []
  for example in examples:
    images.append(example['info'])
    categories = example['categories']
    for x in example['annotations']:
      left, top, width, height = x['bbox']
      right, bottom = left + width, top + height
      outline = x.get('segmentation')
      if not isinstance(outline, dict):
        outline = coco_json.polygons(x) or [
          [left, top, right, top, right, bottom, left, bottom]
        ]
      annotations.append(
        {
          'id': len(annotations) + 1,
          'image_id': x['image_id'],
          'category_id': x['category_id'],
          'bbox': x['bbox'],
          'area': x.get('area', width * height),
          'iscrowd': int(x.get('iscrowd', 0)),
          'segmentation': outline,
        }
      )
  return {
    'images': images,
    'annotations': annotations,
    'categories': categories,
  }


def results(
  example: dict[str, Any],
  boxes: np.ndarray,
  scores: np.ndarray,
  classes: np.ndarray,
  masks: Sequence[np.ndarray],
) -> list[dict[str, Any]]:
  """Detections of an image as COCO's results have them.

  Args:
    example: of `coco.source`.
    boxes: [D, 4], x1, y1, x2, y2 in the image's pixels.
    scores: [D].
    classes: [D], ranks of categories.
    masks: D of bool [H, W].
  """
  from pycocotools import mask as run_lengths

  found = []
  for (x1, y1, x2, y2), score, label, mask in zip(
    np.asarray(boxes, np.float64), scores, classes, masks, strict=True
  ):
    outline = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    found.append(
      {
        'image_id': example['info']['id'],
        'category_id': example['categories'][int(label)]['id'],
        'bbox': [float(v) for v in (x1, y1, x2 - x1, y2 - y1)],
        'score': float(score),
        'segmentation': {
          'size': [int(n) for n in outline['size']],
          'counts': outline['counts'].decode(),
        },
      }
    )
  return found


def paste(
  masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]
) -> list[np.ndarray]:
  """Probabilities on the grids of boxes to masks in the image.

  A pixel is the object's if, where its middle falls on the grid, the value
  between the middles of cells is at least 0.5; beyond the grid it is 0
  (mmdetection 3.0.0, `fcn_mask_head.py`). Only pixels near the box are looked
  at, in float64.

  Args:
    masks: [D, M, M].
    boxes: [D, 4], x1, y1, x2, y2 in the image's pixels.
    size: (H, W).

  Returns:
    D of bool [H, W].
  """
  pasted = []
  for grid, (x1, y1, x2, y2) in zip(
    np.asarray(masks, np.float64), np.asarray(boxes, np.float64), strict=True
  ):
    rows, row_weights = _weights(y1, y2, size[0], len(grid))
    columns, column_weights = _weights(x1, x2, size[1], len(grid))
    mask = np.zeros(size, bool)
    mask[rows, columns] = row_weights @ grid @ column_weights.T >= 0.5
    pasted.append(mask)
  return pasted


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
  """Results with boxes only ('bbox') or outlines only ('segm'), as a mask's
  size is published to be its own."""
  other = {'bbox': 'segmentation', 'segm': 'bbox'}[kind]
  return [{k: v for k, v in x.items() if k != other} for x in found]


def average_precision(
  truth: dict[str, Any],
  found: list[dict[str, Any]],
  kind: str,
  fast: bool = False,
) -> dict[str, float]:
  """COCOeval's twelve figures, in [0, 1]; -1 where no object is of that size.

  Args:
    truth: a COCO dictionary.
    found: COCO results of its images. Those with a box are of its size, for
      'segm', too: `of_kind` takes boxes away.
    kind: 'bbox' or 'segm'.
    fast: by faster-coco-eval, which repeats pycocotools' figures.
  """
  if fast:
    from faster_coco_eval import COCO
    from faster_coco_eval import COCOeval_faster as Evaluation
  else:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval as Evaluation

  # Both are written into on the way.
  truth = truth | {'annotations': [dict(x) for x in truth['annotations']]}
  found = [dict(x) for x in found]
  with contextlib.redirect_stdout(io.StringIO()):  # they print tables
    references, detections = COCO(), COCO()
    references.dataset = truth
    references.createIndex()
    if found:
      detections = references.loadRes(found)
    else:
      detections.dataset = truth | {'annotations': []}
      detections.createIndex()
    evaluation = Evaluation(references, detections, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
  return dict(zip(NAMES, map(float, evaluation.stats), strict=False))


def _weights(start, end, num_pixels, num_cells):
  """Pixels (a slice) near the box, and what each takes of each cell."""
  first = max(0, int(np.floor(start)) - 1)
  last = max(first, min(num_pixels, int(np.ceil(end)) + 1))
  pixel = np.arange(first, last)
  if end > start:
    place = (pixel + 0.5 - start) / (end - start) * num_cells - 0.5
  else:  # it has no extent: the middle of the grid
    place = np.full(len(pixel), (num_cells - 1) / 2)
  weights = 1 - np.abs(place[:, None] - np.arange(num_cells))
  return slice(first, last), np.maximum(0, weights)

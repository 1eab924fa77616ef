"""What detectors without learned features reach: baselines of boxes and masks.

`colors`: pixels whose colour differs from that around them by more than a
threshold; connected ones are an object, whose class is that of the nearest
training object by the shape of its mask (16 x 16). `watershed`: pixels above
Otsu's threshold, split where the distance to the background has its maxima; one
class. The threshold of `colors` and the least distance between the maxima are
those of the best mask AP on training images.

Shapes: H, W of an image, D objects.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from jax.sharding import Mesh

from data.detection import coco_json, coco_metric, detection_ops
from train_lib import pipeline, writer
from train_lib.task import Task
from train_lib.train_state import TrainState

_MIN_PIXELS = 30  # of an object
_SIDE = 16  # of the shapes that are compared
_THRESHOLDS = tuple(range(40, 161, 40))  # of colour differences, of 441
_DISTANCES = (2, 4, 6, 8, 12)  # between maxima, pixels


class Found(NamedTuple):
  """Attributes:
  scores: [D].
  classes: [D], ranks of categories.
  masks: D of bool [H, W].
  """

  scores: np.ndarray
  classes: np.ndarray
  masks: list[np.ndarray]


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'ClassicalDetection':
  """Reads data; fit_split, from which it learns; method, its name."""
  del task, mesh, folder
  methods = {'colors': (Colors, _THRESHOLDS), 'watershed': (None, _DISTANCES)}
  if config.method not in methods:
    raise ValueError(
      f'config.evals.<name>.method: found {config.method!r}; expected one of '
      f'{list(methods)}.'
    )
  sources = []
  for split in (config.fit_split, config.data.split):
    section = ml_collections.ConfigDict(dict(config.data))
    section.split = split
    sources.append(pipeline.open_source(section)[0])
  detector, options = methods[config.method]
  detect = watershed if detector is None else detector(sources[0])
  return ClassicalDetection(*sources, detect, options)


class ClassicalDetection:
  """box_ap, box_ap50, mask_ap, mask_ap50, whatever the state."""

  def __init__(
    self,
    train: Sequence[dict[str, Any]],
    test: Sequence[dict[str, Any]],
    detect: Callable[[np.ndarray, float], Found],
    options: Sequence[float],
  ):
    """Takes what `detect` learned from, and which options it may have."""
    self._train, self._test, self._options = train, test, options
    self._detect, self._results = detect, None

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    if self._results is None:

      def score(option):
        return _evaluate(self._train, self._detect, option)['mask_ap']

      option = max(self._options, key=score)
      self._results = _evaluate(self._test, self._detect, option)
      writer.say(f'The baseline took {option} of {list(self._options)}.')
    return self._results


class Colors:
  """Finds what differs in colour; classes by the nearest training shape."""

  def __init__(self, examples: Sequence[dict[str, Any]]):
    shapes, classes = [], []
    for example in examples:
      ranks = {x['id']: i for i, x in enumerate(example['categories'])}
      for x in example['annotations']:
        mask = detection_ops.decode_mask(x, *_size(example)).astype(bool)
        shapes.append(_shape(mask))
        classes.append(ranks[x['category_id']])
    self._shapes, self._classes = np.stack(shapes), np.array(classes)

  def __call__(self, image: np.ndarray, threshold: float) -> Found:
    """Objects of an image, uint8 [H, W, 3]."""
    import cv2
    from scipy import ndimage

    side = min(image.shape[:2]) // 2 * 2 - 1
    around = cv2.medianBlur(image, min(side, 63)).astype(np.float32)
    difference = np.linalg.norm(image - around, axis=-1)
    parts, num = ndimage.label(difference > threshold, np.ones((3, 3)))
    masks = [parts == i + 1 for i in range(num)]
    masks = [mask for mask in masks if mask.sum() >= _MIN_PIXELS]
    if not masks:
      return _NOTHING
    shapes = np.stack([_shape(mask) for mask in masks])
    distances = ((shapes[:, None] - self._shapes) ** 2).sum(-1)
    return Found(
      scores=np.array([difference[mask].mean() / 442 for mask in masks]),
      classes=self._classes[distances.argmin(axis=1)],
      masks=masks,
    )


def watershed(image: np.ndarray, distance: float) -> Found:
  """Bright blobs of an image, uint8 [H, W, 3], all of class 0."""
  from scipy import ndimage
  from skimage import feature, filters, segmentation

  grey = image.mean(axis=-1)
  bright = grey > filters.threshold_otsu(grey)
  depth = ndimage.distance_transform_edt(bright)
  peaks = feature.peak_local_max(
    depth, min_distance=int(distance), labels=bright.astype(int)
  )
  seeds = np.zeros(bright.shape, int)
  seeds[tuple(peaks.T)] = np.arange(len(peaks)) + 1
  parts = segmentation.watershed(-depth, seeds, mask=bright)
  masks = [parts == i + 1 for i in range(len(peaks))]
  masks = [mask for mask in masks if mask.sum() >= _MIN_PIXELS]
  if not masks:
    return _NOTHING
  scores = np.array([grey[mask].mean() / 256 for mask in masks])
  return Found(scores, np.zeros(len(masks), int), masks)


_NOTHING = Found(np.zeros(0), np.zeros(0, int), [])


def _evaluate(examples, detect, option):
  results = []
  for example in examples:
    found = detect(coco_json.open_image(example), option)
    results += coco_metric.results(
      example,
      np.array([_box(mask) for mask in found.masks]).reshape(-1, 4),
      found.scores,
      found.classes,
      found.masks,
    )
  truth, values = coco_metric.ground_truth(examples), {}
  for kind, name in (('bbox', 'box'), ('segm', 'mask')):
    figures = coco_metric.average_precision(
      truth, coco_metric.of_kind(results, kind), kind
    )
    values |= {f'{name}_{key}': figures[key] for key in ('ap', 'ap50')}
  return values


def _box(mask):
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _shape(mask):
  """[256] in [0, 1]: the part of a mask in its box, shrunk to 16 x 16."""
  import cv2

  x1, y1, x2, y2 = _box(mask)
  part = mask[y1:y2, x1:x2].astype(np.float32)
  size = (_SIDE, _SIDE)
  return cv2.resize(part, size, interpolation=cv2.INTER_AREA).ravel()


def _size(example):
  return example['info']['height'], example['info']['width']

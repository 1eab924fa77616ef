"""Depth of pictures, for `predict.py`.

Shapes: B batch, H, W of an image.
"""

from typing import Any

import ml_collections
import numpy as np
import PIL.Image

from data.depth import depth_ops
from data.images import predictions
from paca_vit.evaluators import mask_predictions

_MILLIMETRES = 1000
_MOST = 2**16 - 1


def make_predictions(
  config: ml_collections.ConfigDict,
  classes: tuple[str, ...] | None,
  *,
  scale: float = 1.0,
) -> 'Depths':
  """Of the task `paca_vit.tasks.depth`.

  Args:
    config: the run's.
    classes: not used.
    scale: that pictures are resized by before; their depth is as large as they
      were.
  """
  del classes
  if not 0 < scale <= 16:
    raise ValueError(
      f'--option: scale: expected a number above 0, to 16, found {scale}.'
    )
  return Depths(scale, rows=config.data.preprocess.get('rows', False))


class Depths:
  """Reads pictures; metres for every pixel of them."""

  batch_size = 1  # Pictures differ in size.

  def __init__(self, scale: float, rows: bool = False):
    self._scale, self._rows = scale, rows

  expand = staticmethod(predictions.expand_images)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a path, a file's bytes, or pixels uint8 [H, W, 3]."""
    picture = mask_predictions.picture_of(given)
    if self._scale != 1:
      size = [max(1, round(self._scale * n)) for n in picture.size]
      picture = picture.resize(size, PIL.Image.Resampling.BILINEAR)
    size = picture.size[::-1]
    heights = depth_ops.row_heights(size) if self._rows else None
    found = depth_ops.as_example(picture, np.zeros(size), heights)
    return {'image': found['image']}

  def outputs(self, task, variables, batch):
    return task.predict(variables, {'image': batch['image']})['depth']

  def result(self, given: Any, output: np.ndarray):
    """Metres: nearest, median, furthest; `.npy` float32 [H, W] of metres,
    `.png` of 16 bits in millimetres, `_near.png` to look at, near is bright."""
    size = mask_predictions.picture_of(given).size
    depth = output
    if depth.shape != size[::-1]:
      image = PIL.Image.fromarray(depth.astype(np.float32))
      depth = np.asarray(image.resize(size, PIL.Image.Resampling.BILINEAR))
    values = {
      name: round(float(x), 3)
      for name, x in zip(
        ('nearest', 'median', 'furthest'),
        np.quantile(depth, (0, 0.5, 1)),
        strict=True,
      )
    }
    steps = np.clip(np.round(depth * _MILLIMETRES), 0, _MOST)
    return values, {
      '.npy': depth.astype(np.float32),
      '.png': PIL.Image.fromarray(steps.astype(np.uint16)),
      '_near.png': PIL.Image.fromarray(_near_is_bright(depth)),
    }


def _near_is_bright(depth: np.ndarray) -> np.ndarray:
  """uint8 [H, W], by the logarithm."""
  log = np.log(np.maximum(depth, 1e-6))
  share = (log - log.min()) / max(np.ptp(log), 1e-6)
  return np.round(255 * (1 - share)).astype(np.uint8)

"""Motion between two images, for `predict.py`: of any size, by tiles.

Letters: B batch, H height, W width.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
import PIL.Image

from data import image_files
from data.flow import flow as flow_data
from data.flow import flow_io
from perceiver_io import tiling

_TILES_AT_ONCE = 4


class Pair(NamedTuple):
  """Two images, files or pixels uint8 [H, W, 3]; as text the first's name."""

  first: Any
  second: Any

  def __str__(self) -> str:
    return '<data>' if isinstance(self.first, np.ndarray) else str(self.first)


def make_predictions(
  config: ml_collections.ConfigDict,
  classes: tuple[str, ...] | None,
  *,
  scale: float = 1.0,
) -> 'Flows':
  """Of the task `perceiver_io.tasks.optical_flow`.

  Args:
    config: the run's.
    classes: not used.
    scale: that both images are resized by; motions as long as those that were
      trained on are seen best. The flow is that of the images as they were.
  """
  del classes
  if not 0 < scale <= 16:
    raise ValueError(
      f'--option: scale: expected a number above 0, to 16, found {scale}.'
    )
  return Flows(tuple(config.model.image_size), scale)


class Flows:
  """Reads pairs of images; the flow of every pixel of the first."""

  batch_size = 1  # Pictures differ in size.

  def __init__(self, tile_size: tuple[int, int], scale: float):
    self._tile_size, self._scale = tile_size, scale

  def expand(self, given: str) -> list[Any]:
    """An image, or the pairs of a folder's images that follow each other."""
    if not os.path.isdir(given):
      return [pathlib.Path(given)]
    frames = image_files.image_paths(given)
    if len(frames) < 2:
      raise ValueError(
        f'{given}: expected two images or more, found {len(frames)}.'
      )
    return [Pair(*pair) for pair in zip(frames, frames[1:], strict=False)]

  def joined(self, inputs: Sequence[Any]) -> list[Pair]:
    """Images given one by one are frames, too, each with the next."""
    frames = [x for x in inputs if not isinstance(x, Pair)]
    if len(frames) == 1:
      raise ValueError(f'{frames[0]}: expected a second image, found one.')
    pairs = [x for x in inputs if isinstance(x, Pair)]
    return pairs + [Pair(*x) for x in zip(frames, frames[1:], strict=False)]

  def example(self, given: Sequence[Any]) -> dict[str, np.ndarray]:
    """Of two images, files or pixels."""
    frames = [_pixels(image) for image in given]
    if len(frames) != 2 or frames[0].shape != frames[1].shape:
      sizes = [f'{x.shape[1]} x {x.shape[0]}' for x in frames]
      raise ValueError(
        f'{Pair(*given[:2])}: expected two images of one size, found '
        f'{" and ".join(sizes)} pixels.'
      )
    size = frames[0].shape[:2]
    example = {
      'frame1': frames[0],
      'frame2': frames[1],
      'flow': np.zeros((*size, 2), np.float32),
      'valid': np.zeros(size, np.uint8),
    }
    options = {'train': False, 'rng': None, 'scale': self._scale}
    return {'frames': flow_data.preprocess(example, **options)['frames']}

  def model_batch(self, batch):
    """The model is made for tiles."""
    shape = (*batch['frames'].shape[:2], *self._tile_size, 3)
    return {'frames': np.zeros(shape, np.float32), 'mask': batch['mask']}

  def outputs(self, task, variables, batch):
    return tiling.predict_in_batches(
      lambda tiles: task.predict(variables, {'frames': tiles})['flow'],
      batch['frames'],
      self._tile_size,
      _TILES_AT_ONCE,
    )

  def result(self, given: Any, output: np.ndarray):
    """Mean and longest motion in pixels; `.flo`, and colours as `.png`."""
    size = _pixels(given[0]).shape[:2]
    flow = output
    if flow.shape[:2] != size:
      blank = np.zeros((*flow.shape[:2], 3), np.uint8)
      valid = np.ones(flow.shape[:2], np.uint8)
      found = {'frame1': blank, 'frame2': blank, 'flow': flow, 'valid': valid}
      flow = flow_data.resize(found, size)['flow']
    length = np.linalg.norm(flow, axis=-1)
    values = {
      'mean_motion': round(float(length.mean()), 3),
      'longest_motion': round(float(length.max()), 3),
    }
    picture = PIL.Image.fromarray(flow_io.colours(flow))
    return values, {'.flo': flow_io.encode_flo(flow), '.png': picture}


def _pixels(image: Any) -> np.ndarray:
  """uint8 [H, W, 3]"""
  if isinstance(image, np.ndarray):
    return image
  return np.asarray(image_files.read_image(image))

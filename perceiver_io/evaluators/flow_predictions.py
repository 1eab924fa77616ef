"""Motion between two images, for `predict.py`: of any size, by tiles.

Frames of films are images, too, each with the next.

Letters: B batch, H height, W width.
"""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
import PIL.Image

from data import folders, image_files
from data.flow import films, flow_io
from data.flow import flow as flow_data
from perceiver_io import tiling

_TILES_AT_ONCE = 4


class Pair(NamedTuple):
  """Two images, files, frames of a film or pixels uint8 [H, W, 3]; as text the
  first's name."""

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
    self._films = {}

  def expand(self, given: str) -> list[Any]:
    """An image, or the pairs of a folder's images, or of a film's frames, that
    follow each other."""
    path = pathlib.Path(given)
    if path.suffix.lower() in folders.VIDEO_SUFFIXES and not path.is_dir():
      return self._film(path)
    if not path.is_dir():
      return [path]
    frames = image_files.image_paths(given)
    if len(frames) < 2:
      raise ValueError(
        f'{given}: expected two images or more, found {len(frames)}.'
      )
    return [Pair(*pair) for pair in zip(frames, frames[1:], strict=False)]

  def _film(self, path: pathlib.Path) -> list[Pair]:
    film = films.Film(path)
    if film.num_frames < 2:
      raise ValueError(f'{path}: expected two frames or more, found one.')
    if path.stem in self._films:
      raise ValueError(
        f'{path}: expected films of different names, found '
        f'{self._films[path.stem].path}, too.'
      )
    self._films[path.stem] = film
    frames = [films.Frame(film, i) for i in range(film.num_frames)]
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
    """Mean and longest motion in pixels; `.flo`, and colours as `.png`; the
    film that a frame is of as details."""
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
    film = given[0].film if isinstance(given[0], films.Frame) else None
    return values, {'.flo': flow_io.encode_flo(flow), '.png': picture}, film

  def summary(self, predictions) -> dict[str, Callable[[pathlib.Path], None]]:
    """Each film's motion as a film."""
    found = dict.fromkeys(x.details for x in predictions if x.details)
    return {
      f'{film.path.stem}.mp4': functools.partial(films.write_motion, film=film)
      for film in found
    }


def _pixels(image: Any) -> np.ndarray:
  """uint8 [H, W, 3]"""
  if isinstance(image, np.ndarray):
    return image
  if isinstance(image, films.Frame):
    return image.pixels()
  return np.asarray(image_files.read_image(image))

"""Masks of pictures, for `predict.py`: as the segmentation evaluator has them.

Shapes: B batch, H, W of an image, K classes.
"""

import functools
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image

from data import image_files
from data.images import predictions
from paca_vit.evaluators import segmentation
from perceiver_paca.ops import resize
from train_lib import pictures, prediction

_OPACITY = 0.5


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Masks':
  """Of segmenters; without names classes are numbers."""
  section = prediction.evaluation(config)
  return Masks(
    section.data,
    section.get('window'),
    section.get('stride'),
    classes,
    config.model.num_classes,
  )


class Masks:
  """Reads pictures as the run's data set; a class for every pixel of them."""

  batch_size = 1  # Pictures differ in size.

  def __init__(
    self,
    data_config: ml_collections.ConfigDict,
    window: tuple[int, int] | None,
    stride: tuple[int, int] | None,
    classes: tuple[str, ...] | None,
    num_classes: int,
  ):
    module = importlib.import_module(data_config.module)
    self._like = module.synthetic(data_config.split)[0]
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **data_config.preprocess
    )
    self._window, self._stride = window, stride
    self._names = classes or tuple(map(str, range(num_classes)))

  expand = staticmethod(predictions.expand_images)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a path, a file's bytes, or pixels uint8 [H, W, 3]."""
    picture = picture_of(given)
    like = self._like['image']
    pixels = np.asarray(picture)
    if isinstance(like, np.ndarray) and like.shape[-1] == 1:
      pixels = np.asarray(picture.convert('L'))[..., None]
    # Whatever the module has labels in, none are known.
    blank = np.zeros(pixels.shape[:2], np.uint8)
    labels = {
      name: blank[..., None] if getattr(x, 'ndim', 0) == 3 else blank
      for name, x in self._like.items()
      if name != 'image' and (isinstance(x, bytes) or getattr(x, 'ndim', 0) > 1)
    }
    raw = self._like | labels | {'image': pixels}
    return {'image': self._preprocess(raw)['image']}

  def outputs(self, task, variables, batch):
    def logits_of(images):
      return task.predict(variables, {'image': images})['logits']

    if self._window is None:
      return logits_of(batch['image'])
    return segmentation.sliding_logits(
      logits_of, batch['image'], self._window, self._stride, len(self._names)
    )

  def result(self, given: Any, output: np.ndarray):
    """Each class's share of the picture; a mask as large, and an overlay."""
    picture = picture_of(given)
    classes = np.asarray(_classes(output[None], picture.size[::-1]))
    counts = np.bincount(classes.ravel(), minlength=len(self._names))
    values = {
      self._names[i]: round(float(counts[i] / classes.size), 6)
      for i in np.flatnonzero(counts)
    }
    colours = pictures.palette(len(self._names))[:-1]
    mask = PIL.Image.fromarray(classes)
    mask.putpalette(colours.tobytes())
    overlay = PIL.Image.blend(picture, mask.convert('RGB'), _OPACITY)
    return values, {'.png': mask, '_overlay.png': overlay}


def _classes(logits: jax.Array, size: tuple[int, int]) -> jax.Array:
  """uint8 [H, W] of logits [1, h, w, K]."""
  if logits.shape[1:3] != size:
    logits = resize.resize_bilinear(logits, size)
  return jnp.argmax(logits[0], axis=-1).astype(jnp.uint8)


def picture_of(given: Any) -> PIL.Image.Image:
  """Of a path, a file's bytes, or pixels uint8 [H, W, 3]."""
  if isinstance(given, np.ndarray):
    return PIL.Image.fromarray(given).convert('RGB')
  return image_files.read_image(given)

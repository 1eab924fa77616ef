"""Crops that the host cuts out and the device resizes, in JAX.

The host decodes and cuts, no more: bicubic resizing, flipping and making
floats are half of its work otherwise. On the device resizing is two products
with matrices of weights, PIL's, whose pixels these are to one grey level.

Letters: B batch, S side of the output, M side of the canvas.
"""

import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from PIL.Image import Image, Resampling

KEYS = PIXELS, BOX, IS_FLIPPED = 'crop_pixels', 'crop_box', 'crop_is_flipped'


def canvas_side(size: int, ratio: tuple[float, float]) -> int:
  """M: what holds crops of all sizes that JPEGs have after scaled decoding.

  Their short side is below 2 S, but for crops above 16 S.

  Args:
    size: S.
    ratio: the range of a crop's width / height.
  """
  return 8 * math.ceil((2 * size * max(ratio[1], 1 / ratio[0]) + 2) / 8)


def on_canvas(
  crop: Image,
  box: tuple[float, ...],
  is_flipped: bool,
  *,
  size: int,
  side: int,
) -> dict[str, np.ndarray]:
  """A crop as `resized` wants it: every example of one shape.

  A crop that is larger than the canvas is resized here.

  Args:
    crop: RGB, the whole pixels that the crop touches.
    box: the crop's left, top, right and bottom among them.
    is_flipped: whether the device is to swap left and right.
    size: S.
    side: M.

  Returns:
    PIXELS uint8 [M, M, 3], zeros beyond the crop; BOX float32 [4];
    IS_FLIPPED bool [].
  """
  if max(crop.size) > side:
    crop = crop.resize((size, size), Resampling.BICUBIC, box)
    box = (0, 0, size, size)
  canvas = np.zeros((side, side, 3), np.uint8)
  canvas[: crop.height, : crop.width] = np.asarray(crop)
  return {
    PIXELS: canvas,
    BOX: np.float32(box),
    IS_FLIPPED: np.bool_(is_flipped),
  }


def resized(batch: Mapping[str, jax.Array], size: int) -> jax.Array:
  """The crops of a batch of `on_canvas`: float32 [B, S, S, 3], whole numbers
  from 0 to 255."""
  one = functools.partial(_resized_one, size)
  return jax.vmap(one)(batch[PIXELS], batch[BOX], batch[IS_FLIPPED])


def _resized_one(size, pixels, box, is_flipped):
  height, width = pixels.shape[:2]
  left, top, right, bottom = box
  columns = _weights(left, right, size, width)
  columns = jnp.where(is_flipped, columns[::-1], columns)
  rows = _weights(top, bottom, size, height)
  # PIL begins with the columns, too, and rounds in between.
  image = _product('sw,hwc->hsc', columns, pixels.astype(jnp.float32))
  return _product('th,hsc->tsc', rows, image)


def _product(equation, weights, image):
  out = jnp.einsum(
    equation, weights, image, precision=jax.lax.Precision.HIGHEST
  )
  return jnp.clip(jnp.floor(out + 0.5), 0, 255)


def _weights(low, high, size, length):
  """What each of `length` pixels weighs in the `size` between low and high.

  PIL's: Keys' kernel with a = -1/2, as much wider as there are fewer pixels
  than before, of pixels that the crop touches.
  """
  scale = (high - low) / size
  stretch = jnp.maximum(scale, 1)
  places = jnp.arange(length)
  centres = low + (jnp.arange(size) + 0.5) * scale
  x = jnp.abs(places + 0.5 - centres[:, None]) / stretch
  near = (1.5 * x - 2.5) * x**2 + 1
  far = ((-0.5 * x + 2.5) * x - 4) * x + 2
  weights = jnp.where(x < 1, near, jnp.where(x < 2, far, 0))
  weights *= places < jnp.ceil(high)
  return weights / jnp.sum(weights, axis=1, keepdims=True)

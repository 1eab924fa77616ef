"""Boxes: overlaps, anchors, and boxes as deltas from other boxes.

A box is (x1, y1, x2, y2) in pixels of continuous coordinates: its width is
x2 - x1, its middle (x1 + x2) / 2. Published as in mmdetection 3.0.0.

Everything is computed in float32, or in float64 if the boxes are: a bfloat16
has steps of 8 pixels above 1,024.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

# Deltas enlarge or shrink a side by this factor at most.
MAX_SIZE_RATIO = 1000 / 16


def area(boxes: jax.Array) -> jax.Array:
  """Areas [...] of boxes [..., 4]; 0 of those that are turned inside out."""
  width, height = jnp.moveaxis(boxes[..., 2:] - boxes[..., :2], -1, 0)
  # The maximum also keeps XLA from joining the product and a later sum to one
  # rounding, which moves the last bit: equal overlaps would not be equal.
  return jnp.maximum(width * height, 0)


def iou(a: jax.Array, b: jax.Array, min_union: float = 0.0) -> jax.Array:
  """Intersection over union of boxes [..., 4] and [..., 4], broadcast.

  Args:
    a: boxes; for each with each, a[:, None] and b.
    b: boxes.
    min_union: smaller unions count as this much.

  Returns:
    [...] in [0, 1]. NaN for two empty boxes if `min_union` is 0.
  """
  size = jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(
    a[..., :2], b[..., :2]
  )
  width, height = jnp.moveaxis(jnp.maximum(size, 0), -1, 0)
  area_a, area_b = area(a), area(b)
  # An intersection is no larger than a box; see `area` for why it is said.
  intersection = jnp.minimum(width * height, area_a)
  union = area_a + area_b - intersection
  return intersection / jnp.maximum(union, min_union)


def encode(
  boxes: jax.Array, targets: jax.Array, stds: Sequence[float] = (1, 1, 1, 1)
) -> jax.Array:
  """How to get from boxes [..., 4] to targets [..., 4].

  Returns:
    [..., 4]: the shift of the middle in widths and heights of the box, and the
    logarithms of the ratios of the sides, divided by `stds` (Girshick et al.
    2014, arXiv 1311.2524, appendix C).
  """
  middle, size = _middle_and_size(boxes)
  target_middle, target_size = _middle_and_size(targets)
  deltas = jnp.concatenate(
    [(target_middle - middle) / size, jnp.log(target_size / size)], axis=-1
  )
  return deltas / np.asarray(stds, deltas.dtype)


def decode(
  boxes: jax.Array, deltas: jax.Array, stds: Sequence[float] = (1, 1, 1, 1)
) -> jax.Array:
  """The inverse of `encode`: [..., 4] for boxes and deltas, broadcast.

  A side grows or shrinks by a factor of `MAX_SIZE_RATIO` at most.
  """
  deltas = deltas * np.asarray(stds, deltas.dtype)
  middle, size = _middle_and_size(boxes)
  limit = math.log(MAX_SIZE_RATIO)
  middle = middle + deltas[..., :2] * size
  half = 0.5 * size * jnp.exp(jnp.clip(deltas[..., 2:], -limit, limit))
  return jnp.concatenate([middle - half, middle + half], axis=-1)


def clip(boxes: jax.Array, sizes: jax.Array) -> jax.Array:
  """Boxes [..., 4] cut to images of (height, width) `sizes` [..., 2]."""
  limits = jnp.concatenate([sizes[..., ::-1]] * 2, axis=-1)
  return jnp.clip(boxes, 0, limits.astype(boxes.dtype))


def is_empty(boxes: jax.Array) -> jax.Array:
  """Which of the boxes [..., 4] have no width or no height: [...]."""
  return jnp.any(boxes[..., 2:] <= boxes[..., :2], axis=-1)


def anchors(
  map_size: tuple[int, int],
  stride: int,
  scale: float = 8.0,
  ratios: Sequence[float] = (0.5, 1.0, 2.0),
  dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
  """Boxes of several shapes around every position of a map.

  Args:
    map_size: (h, w) of the map.
    stride: pixels between positions. The first is at (0, 0).
    scale: sides of the square anchor in strides.
    ratios: of height to width; all have the same area.
    dtype: of the result, float32 or float64.

  Returns:
    [h, w, len(ratios), 4]; they reach beyond the image.
  """
  dtype = jnp.dtype(dtype)
  ratio = np.sqrt(np.asarray(ratios, dtype))
  side = dtype.type(stride) * dtype.type(scale)
  half = np.stack([side * (1 / ratio), side * ratio], axis=-1) * dtype.type(0.5)
  shapes = np.concatenate([-half, half], axis=-1)
  y, x = (jnp.arange(n, dtype=dtype) * stride for n in map_size)
  y, x = jnp.meshgrid(y, x, indexing='ij')
  return jnp.stack([x, y, x, y], axis=-1)[:, :, None] + shapes


def _middle_and_size(boxes):
  size = boxes[..., 2:] - boxes[..., :2]
  return (boxes[..., :2] + boxes[..., 2:]) * 0.5, size

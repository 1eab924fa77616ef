"""RoIAlign: maps averaged over the cells of a grid in each box.

He et al. 2017, arXiv 1703.06870, section 3, with the details of mmcv 2.0.1's
`aligned=True, sampling_ratio=0`: a cell has as many samples a side as it is
positions long, rounded up; it is the mean of a rectangle of samples, and those
are bilinear mixtures. Only what boxes cover is read, in windows of one size, of
which some are taken at a time: memory depends neither on how many boxes there
are nor on how large they are.

Letters: B batch, R boxes, F = B R, h, w of a map, C channels, P cells a side,
S windows at a time, K, L rows and columns of a window.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from perceiver_paca.ops import mesh, roi_windows

_UNLIMITED = np.iinfo(np.int32).max // 2


def pyramid_level(boxes: jax.Array, num_levels: int) -> jax.Array:
  """Which map a box is read from: integers [...] for boxes [..., 4].

  Boxes of 112 pixels (the root of the area) and more go to the second, of 224
  to the third, and so on (Lin et al. 2017, arXiv 1612.03144, equation 1).
  """
  width, height = jnp.moveaxis(boxes[..., 2:] - boxes[..., :2], -1, 0)
  scale = jnp.sqrt(width * height) / 56 + 1e-6
  limits = 2.0 ** np.arange(1, num_levels)
  return jnp.sum(scale[..., None] >= limits, axis=-1, dtype=jnp.int32)


@functools.partial(jax.jit, static_argnames=('num_cells', 'strides'))
def roi_align(
  maps: Sequence[jax.Array],
  boxes: jax.Array,
  num_cells: int,
  strides: tuple[int, ...],
  *,
  valid: jax.Array | None = None,
  image_sizes: jax.Array | None = None,
) -> jax.Array:
  """Reads each box from the map of its level.

  Gradients are those of the maps; none flows into the boxes.

  Args:
    maps: [B, h, w, C] each, from fine to coarse.
    boxes: [B, R, 4] in pixels, float32 or float64.
    num_cells: P.
    strides: pixels between the positions of each map.
    valid: [B, R], boxes to read; None: all.
    image_sizes: [B, 2], height and width in pixels of the part of the maps that
      is read, as if they ended there; None: all.

  Returns:
    [B, R, P, P, C] in the dtype of the maps; 0 for boxes not valid or empty.
  """
  boxes = lax.stop_gradient(boxes)
  if valid is None:
    valid = jnp.ones(boxes.shape[:2], bool)
  if image_sizes is None:
    image_sizes = jnp.full((boxes.shape[0], 2), _UNLIMITED)
  return _roi_align(tuple(maps), boxes, valid, image_sizes, num_cells, strides)


_product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _roi_align(maps, boxes, valid, image_sizes, num_cells, strides):
  """[B, R, P, P, C]; see `roi_align`."""
  return mesh.over_examples(
    functools.partial(_read, num_cells=num_cells, strides=strides),
    maps,
    boxes,
    valid,
    image_sizes,
  )


def _forward(maps, boxes, valid, image_sizes, num_cells, strides):
  out = _roi_align(maps, boxes, valid, image_sizes, num_cells, strides)
  # Nothing of the maps is kept but their shapes.
  like = [jnp.zeros((len(x), 0, *x.shape[1:]), x.dtype) for x in maps]
  return out, (like, boxes, valid, image_sizes)


def _backward(num_cells, strides, residuals, gradient):
  gradients = mesh.over_examples(
    functools.partial(_read_transposed, num_cells=num_cells, strides=strides),
    *residuals,
    gradient,
  )
  return gradients, None, None, None


_roi_align.defvjp(_forward, _backward)


class _Places(NamedTuple):
  """Where F boxes lie if all maps lie in one row.

  Attributes:
    begin: [F], the first position of a box's map.
    width: [F], of its map.
    size: [F, 2] rows and columns that are read.
    scale: [F, 1] positions a pixel.
  """

  begin: jax.Array
  width: jax.Array
  size: jax.Array
  scale: jax.Array

  def grids(self, boxes: jax.Array, num_cells: int) -> roi_windows.Grids:
    """Over the boxes [B, R, 4]."""
    return roi_windows.make_grids(
      boxes.reshape(-1, 4), self.scale, num_cells, self.size
    )

  def of(self, windows: roi_windows.Windows) -> jax.Array:
    """Indices [S, K, L] of windows in the row."""
    box = windows.box
    limit = self.size[box] - 1
    rows = jnp.minimum(windows.rows, limit[:, :1])
    columns = jnp.minimum(windows.columns, limit[:, 1:])
    rows = self.begin[box, None] + rows * self.width[box, None]
    return rows[:, :, None] + columns[:, None]


def _places(map_shapes, boxes, image_sizes, strides):
  """`_Places` of boxes [B, R, 4], one example's after the other's."""
  batch, num_boxes, _ = boxes.shape
  level = pyramid_level(boxes, len(strides)).ravel()
  image = jnp.repeat(jnp.arange(batch), num_boxes)
  size = jnp.asarray([shape[1:3] for shape in map_shapes])[level]
  lengths = [math.prod(shape[:3]) for shape in map_shapes]
  begin = jnp.asarray([0, *itertools.accumulate(lengths[:-1])])[level]
  stride = jnp.asarray(strides)[level, None]
  return _Places(
    begin=begin + image * jnp.prod(size, axis=1),
    width=size[:, 1],
    size=jnp.minimum(size, -(-image_sizes[image] // stride)),
    scale=1 / stride.astype(boxes.dtype),
  )


def _read(maps, boxes, valid, image_sizes, *, num_cells, strides):
  """`_roi_align` on one device."""
  places = _places([x.shape for x in maps], boxes, image_sizes, strides)
  grids = roi_windows.make_grids(
    boxes.reshape(-1, 4), places.scale, num_cells, places.size
  )
  # One loop over all maps.
  row = jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in maps])
  dtype = jnp.promote_types(row.dtype, jnp.float32)

  def step(out, windows):
    part = row[places.of(windows)].astype(dtype)
    part = _product('SPK,SKLC->SPLC', windows.row_weights, part)
    part = _product('SQL,SPLC->SPQC', windows.column_weights, part)
    return out.at[windows.box].add(part.astype(dtype), mode='drop')

  shape = valid.size, num_cells, num_cells, row.shape[-1]
  out = roi_windows.over_windows(
    step, jnp.zeros(shape, dtype), grids, valid.ravel(), num_cells
  )
  return out.reshape(*valid.shape, *shape[1:]).astype(row.dtype)


def _read_transposed(
  like, boxes, valid, image_sizes, gradient, *, num_cells, strides
):
  """Gradients of the maps, which are `like` [B, 0, h, w, C]."""
  shapes = [(len(x), *x.shape[2:]) for x in like]
  places = _places(shapes, boxes, image_sizes, strides)
  grids = roi_windows.make_grids(
    boxes.reshape(-1, 4), places.scale, num_cells, places.size
  )
  gradient = gradient.reshape(-1, *gradient.shape[2:])
  dtype = jnp.promote_types(gradient.dtype, jnp.float32)

  def step(total, windows):
    part = gradient[windows.box].astype(dtype)
    part = _product('SQL,SPQC->SPLC', windows.column_weights, part)
    part = _product('SPK,SPLC->SKLC', windows.row_weights, part)
    return total.at[places.of(windows)].add(part.astype(dtype))

  ends = np.cumsum([math.prod(shape[:3]) for shape in shapes])
  zeros = jnp.zeros((ends[-1], gradient.shape[-1]), dtype)
  row = roi_windows.over_windows(step, zeros, grids, valid.ravel(), num_cells)
  return tuple(
    x.reshape(shape).astype(gradient.dtype)
    for x, shape in zip(jnp.split(row, ends[:-1]), shapes, strict=True)
  )

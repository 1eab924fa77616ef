"""RoIAlign: maps averaged over the cells of a grid in each box.

He et al. 2017, arXiv 1703.06870, section 3, with the details of mmcv 2.0.1's
`aligned=True, sampling_ratio=0`: a cell has as many samples a side as it is
positions long, rounded up. A sample is a bilinear mixture and a cell the mean
of a rectangle of samples, so that a box's grid is rows times map times columns,
with two small matrices. They are zero outside of the box: it is covered with
windows of one size, of which some are taken at a time. Memory depends neither
on how many boxes there are nor on how large they are.

Letters: B batch, R boxes of an example, F boxes, h, w of a map, C channels,
P cells a side, S windows at a time, K, L rows and columns of a window.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_WINDOW = (16, 16)
_AT_A_TIME = 16


class Grids(NamedTuple):
  """Grids of cells on maps; pairs are of rows and of columns.

  Attributes:
    start: [F, 2] where the first cell begins, in positions of the map.
    cell: [F, 2] lengths of a cell.
    samples: [F, 2] integers, samples in a cell.
    size: [F, 2] integers, of the map.
  """

  start: jax.Array
  cell: jax.Array
  samples: jax.Array
  size: jax.Array


class Windows(NamedTuple):
  """S parts of maps, and what they give to the grids of boxes.

  Attributes:
    box: [S] whose grid; F where there is no window.
    rows, columns: [S, K] and [S, L] positions. Some lie beyond the map.
    row_weights, column_weights: [S, P, K] and [S, P, L]; a box's grid is the
      sum over its windows of the one times the window times the other. 0 for
      what lies beyond the map.
  """

  box: jax.Array
  rows: jax.Array
  columns: jax.Array
  row_weights: jax.Array
  column_weights: jax.Array


def pyramid_level(boxes: jax.Array, num_levels: int) -> jax.Array:
  """Which map a box is read from: integers [...] for boxes [..., 4].

  Boxes of 112 pixels (the root of the area) and more go to the second, of 224
  to the third, and so on (Lin et al. 2017, arXiv 1612.03144, equation 1).
  """
  width, height = jnp.moveaxis(boxes[..., 2:] - boxes[..., :2], -1, 0)
  scale = jnp.sqrt(width * height) / 56 + 1e-6
  limits = 2.0 ** np.arange(1, num_levels)
  return jnp.sum(scale[..., None] >= limits, axis=-1, dtype=jnp.int32)


def roi_align(
  maps: Sequence[jax.Array],
  boxes: jax.Array,
  num_cells: int,
  strides: Sequence[int],
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
  batch, num_boxes = boxes.shape[:2]
  boxes = lax.stop_gradient(jnp.asarray(boxes)).reshape(-1, 4)
  valid = jnp.ones(len(boxes), bool) if valid is None else valid.reshape(-1)
  image = jnp.repeat(jnp.arange(batch), num_boxes)
  level = pyramid_level(boxes, len(maps))

  map_sizes = jnp.asarray([x.shape[1:3] for x in maps])[level]
  sizes, stride = map_sizes, jnp.asarray(strides)[level]
  if image_sizes is not None:
    sizes = -(-jnp.asarray(image_sizes)[image] // stride[:, None])
  scale = jnp.asarray(1 / np.asarray(strides, boxes.dtype))[level]
  grids = make_grids(boxes, scale[:, None], num_cells, sizes)

  # All maps in one row, so that one loop reads them all.
  lengths = [math.prod(x.shape[:3]) for x in maps]
  begins = np.cumsum([0, *lengths[:-1]])
  begin = jnp.asarray(begins)[level] + image * jnp.prod(map_sizes, axis=1)
  row = jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in maps])
  out = _roi_align(row, grids, valid, begin, map_sizes[:, 1], num_cells)
  return out.reshape(batch, num_boxes, *out.shape[1:])


def make_grids(
  boxes: jax.Array,
  scale: float | jax.Array,
  num_cells: int,
  size: jax.Array,
) -> Grids:
  """Lays a grid of P x P cells over each box [F, 4] in pixels.

  Args:
    boxes: to be covered.
    scale: positions of the map a pixel, or [F, 1].
    num_cells: P.
    size: of the maps, see `Grids`.
  """
  # In this order, since rounding decides on the number of samples.
  scaled = boxes * scale - 0.5
  start, end = scaled[:, 1::-1], scaled[:, :1:-1]
  cell = (end - start) / num_cells
  samples = jnp.maximum(jnp.ceil(cell), 0).astype(jnp.int32)
  return Grids(start, cell, samples, size)


def over_windows(
  step: Callable[[Any, Windows], Any],
  initial: Any,
  grids: Grids,
  valid: jax.Array,
  num_cells: int,
  *,
  window: tuple[int, int] = _WINDOW,
  alignment: int = 1,
) -> Any:
  """Walks over windows that cover the grids.

  Args:
    step: maps a carry and the next windows to a carry.
    initial: carry.
    grids: of F boxes.
    valid: [F], whose windows to walk over.
    num_cells: P.
    window: (K, L).
    alignment: windows begin at multiples of it.

  Returns:
    The last carry.
  """
  end = grids.start + num_cells * grids.cell
  first, last = (
    jnp.clip(jnp.floor(x), 0, grids.size - 1).astype(jnp.int32)
    for x in (grids.start, end + 1)
  )
  first = first // alignment * alignment
  tiles = (last - first) // np.asarray(window) + 1
  valid = valid & jnp.all(grids.samples > 0, axis=1)
  num_windows = jnp.where(valid, jnp.prod(tiles, axis=1), 0)
  ends = jnp.cumsum(num_windows)

  def take(i, carry):
    index = i * _AT_A_TIME + jnp.arange(_AT_A_TIME)
    box = jnp.searchsorted(ends, index, side='right', method='compare_all')
    index -= (ends - num_windows)[box]
    tile = jnp.divmod(index, tiles[box, 1])
    places = [
      (first[box, axis] + tile[axis] * window[axis])[:, None]
      + jnp.arange(window[axis])
      for axis in range(2)
    ]
    weights = [
      jnp.where(
        (box < len(ends))[:, None, None],
        _weights(grids, box, axis, places[axis], num_cells),
        0,
      )
      for axis in range(2)
    ]
    return step(carry, Windows(box, *places, *weights))

  return lax.fori_loop(0, -(-ends[-1] // _AT_A_TIME), take, initial)


def _weights(grids, box, axis, place, num_cells):
  """[S, P, K]: what each cell takes of each position [S, K] along an axis."""
  start, cell, samples, size = (x[box, axis][:, None] for x in grids)
  begin = start + jnp.arange(num_cells) * cell
  place = place.astype(cell.dtype)[:, None]

  def add(i, total):
    point = begin + (i + 0.5) * cell / samples
    counts = (i < samples) & (point >= -1) & (point <= size)
    point = jnp.clip(point, 0, size - 1)[..., None]
    weight = jnp.maximum(0, 1 - jnp.abs(place - point))
    return total + jnp.where(counts[..., None], weight, 0)

  zeros = jnp.zeros((*begin.shape, place.shape[-1]), cell.dtype)
  total = lax.fori_loop(0, jnp.max(samples), add, zeros)
  return total / jnp.maximum(samples, 1)[..., None]


_product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _roi_align(row, grids, valid, begin, width, num_cells):
  """`roi_align` of maps in one row [., C].

  Args:
    row: the positions of all maps.
    grids, valid: of F boxes.
    begin: [F], where in the row a box's map begins.
    width: [F], of its map.
    num_cells: P.

  Returns:
    [F, P, P, C].
  """
  dtype = jnp.promote_types(row.dtype, jnp.float32)

  def step(out, windows):
    part = row[_positions(windows, grids, begin, width)].astype(dtype)
    part = _product('SPK,SKLC->SPLC', windows.row_weights, part)
    part = _product('SQL,SPLC->SPQC', windows.column_weights, part)
    return out.at[windows.box].add(part.astype(dtype), mode='drop')

  shape = len(begin), num_cells, num_cells, row.shape[-1]
  out = over_windows(step, jnp.zeros(shape, dtype), grids, valid, num_cells)
  return out.astype(row.dtype)


def _forward(row, grids, valid, begin, width, num_cells):
  out = _roi_align(row, grids, valid, begin, width, num_cells)
  # Of the maps no more is kept than how long they are.
  return out, (jnp.zeros((0, len(row))), grids, valid, begin, width)


def _backward(num_cells, residuals, gradient):
  like, grids, valid, begin, width = residuals
  dtype = jnp.promote_types(gradient.dtype, jnp.float32)

  def step(total, windows):
    part = gradient[windows.box].astype(dtype)
    part = _product('SQL,SPQC->SPLC', windows.column_weights, part)
    part = _product('SPK,SPLC->SKLC', windows.row_weights, part)
    where = _positions(windows, grids, begin, width)
    return total.at[where].add(part.astype(dtype))

  zeros = jnp.zeros((like.shape[1], gradient.shape[-1]), dtype)
  total = over_windows(step, zeros, grids, valid, num_cells)
  return total.astype(gradient.dtype), None, None, None, None


_roi_align.defvjp(_forward, _backward)


def _positions(windows, grids, begin, width):
  """Indices [S, K, L] of the windows in the row of all maps."""
  box = windows.box
  limit = grids.size[box] - 1
  rows = jnp.minimum(windows.rows, limit[:, :1])
  columns = jnp.minimum(windows.columns, limit[:, 1:])
  rows = begin[box, None] + rows * width[box, None]
  return rows[:, :, None] + columns[:, None]

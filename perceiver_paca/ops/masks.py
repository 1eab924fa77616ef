"""Masks of objects: targets on a box's grid, and back into the image.

Letters: G masks, R boxes, h, w of the masks, H, W of an image, M cells a side.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import roi_windows

_WINDOW = (64, 64)  # pixels


def unpack(packed: jax.Array) -> jax.Array:
  """Bits [..., w] of bytes [..., w / 8], the highest first: 0 and 1, uint8."""
  bits = packed[..., None] >> jnp.arange(7, -1, -1, dtype=jnp.uint8)
  return (bits & 1).reshape(*packed.shape[:-1], -1)


@functools.partial(jax.jit, static_argnames=('num_cells', 'width'))
def mask_targets(
  packed: jax.Array,
  boxes: jax.Array,
  index: jax.Array,
  valid: jax.Array,
  num_cells: int = 28,
  width: int | None = None,
) -> jax.Array:
  """The part of a mask in a box, on a grid: RoIAlign of the mask at scale 1.

  No mask is unpacked as a whole, only the windows in which boxes lie.

  Args:
    packed: [G, h, ceil(w / 8)] uint8, 8 pixels of a row a byte, as
      `numpy.packbits` packs them.
    boxes: [R, 4] in pixels of the masks; cut to them.
    index: [R], the mask of each box.
    valid: [R], which of the boxes there are.
    num_cells: M.
    width: w, where the last byte has pixels that are none; None: 8 a byte.

  Returns:
    [R, M, M] in [0, 1]; the target is 1 where it is at least 0.5. A box whose
    edges are whole pixels makes values of 0.5 up to rounding. 0 for others than
    valid boxes.
  """
  packed, boxes, index = map(jnp.asarray, (packed, boxes, index))
  _, height, num_bytes = packed.shape
  size = height, width or 8 * num_bytes
  boxes = box_ops.clip(boxes, jnp.asarray(size))
  sizes = jnp.broadcast_to(jnp.asarray(size), (len(boxes), 2))
  grids = roi_windows.make_grids(boxes, 1.0, num_cells, sizes)

  def step(out, windows):
    rows = jnp.minimum(windows.rows, height - 1)
    places = jnp.minimum(windows.columns[:, ::8] // 8, num_bytes - 1)
    part = packed[
      index[windows.box][:, None, None], rows[:, :, None], places[:, None]
    ]
    part = jnp.einsum(
      'SMK,SKL,SNL->SMN',
      windows.row_weights,
      unpack(part).astype(out.dtype),
      windows.column_weights,
      precision=lax.Precision.HIGHEST,
    )
    return out.at[windows.box].add(part, mode='drop')

  zeros = jnp.zeros((len(boxes), num_cells, num_cells), boxes.dtype)
  return roi_windows.over_windows(
    step, zeros, grids, valid, num_cells, window=_WINDOW, alignment=8
  )


def paste(
  masks: jax.Array, boxes: jax.Array, size: tuple[int, int]
) -> jax.Array:
  """Masks on the grids of their boxes, seen in the image.

  A pixel is where its middle falls on the grid, between the middles of cells;
  beyond the grid is 0 (mmdetection 3.0.0, `fcn_mask_head.py`, on a CPU).

  Args:
    masks: [R, M, M] probabilities.
    boxes: [R, 4] in pixels of the image.
    size: (H, W).

  Returns:
    [R, H, W] in the dtype of the masks. A pixel is the object's where the value
    is at least 0.5.
  """
  rows = _pixel_weights(boxes[:, 1], boxes[:, 3], size[0], masks)
  columns = _pixel_weights(boxes[:, 0], boxes[:, 2], size[1], masks)
  return jnp.einsum(
    'RHM,RMN,RWN->RHW', rows, masks, columns, precision=lax.Precision.HIGHEST
  )


def _pixel_weights(start, end, num_pixels, masks):
  """[R, num_pixels, M]: what each pixel takes of each cell along an axis."""
  num_cells = masks.shape[-1]
  start, end = start[:, None], end[:, None]
  pixel = jnp.arange(num_pixels, dtype=start.dtype)
  place = (pixel + 0.5 - start) / (end - start) * num_cells - 0.5
  # On both sides of an edge without extent it is the middle of the grid.
  near = (pixel >= jnp.floor(start) - 1) & (pixel < jnp.ceil(end) + 1)
  place = jnp.where(start == end, (num_cells - 1) / 2, place)
  weights = 1 - jnp.abs(place[..., None] - jnp.arange(num_cells))
  return jnp.where(near[..., None], jnp.maximum(0, weights), 0)

"""Windows that cover boxes on maps, some at a time, and their weights.

Of a grid of cells over a box, where a cell is the mean of bilinear samples, as
`roi_align` has it: its values are rows times map times columns, with two small
matrices that are zero outside of the box.

Letters: F boxes, P cells a side, S windows at a time, K, L rows and columns of
a window.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from perceiver_paca.ops import mesh

_WINDOW = (16, 16)
# Elsewhere, and on a CPU, whose caches hold so many.
_AT_A_TIME = 256, 16


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

  at_a_time = _AT_A_TIME[mesh.platform() == 'cpu']

  def take(i, carry):
    index = i * at_a_time + jnp.arange(at_a_time)
    # As `searchsorted`, which does not take a free number of examples.
    box = jnp.sum(ends <= index[:, None], axis=1)
    index -= (ends - num_windows)[box]
    tile = jnp.divmod(index, tiles[box, 1])
    places = [
      (first[box, axis] + tile[axis] * window[axis])[:, None]
      + jnp.arange(window[axis])
      for axis in range(2)
    ]
    weights = [
      jnp.where(
        (box < ends.shape[0])[:, None, None],
        _weights(grids, box, axis, places[axis], num_cells),
        0,
      )
      for axis in range(2)
    ]
    return step(carry, Windows(box, *places, *weights))

  return lax.fori_loop(0, -(-ends[-1] // at_a_time), take, initial)


def _weights(grids, box, axis, place, num_cells):
  """[S, P, K]: what each cell takes of each position [S, K] along an axis."""
  start, cell, samples, size = (x[box, axis][:, None, None] for x in grids)
  begin = start + jnp.arange(num_cells)[:, None] * cell
  place = place.astype(cell.dtype)[:, None]
  # Where there are several samples they are at least 1/2 apart, and one counts
  # for positions that are less than 1 away: five in a row, by rounding six.
  step = cell / jnp.maximum(samples, 1)
  step = jnp.where(step > 0, step, 1)
  nearest = jnp.maximum(jnp.floor((place - 1 - begin) / step - 0.5), 0)
  total = 0
  for i in range(6):
    number = nearest + i
    point = begin + (number + 0.5) * cell / jnp.maximum(samples, 1)
    counts = (number < samples) & (point >= -1) & (point <= size)
    point = jnp.clip(point, 0, size - 1)
    weight = jnp.maximum(0, 1 - jnp.abs(place - point))
    total += jnp.where(counts, weight, 0)
  return total / jnp.maximum(samples, 1)

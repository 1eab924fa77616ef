"""A dense prediction of any resolution from a model of one (appendix H).

Tiles of the model's size cover the image, evenly spaced; where they overlap,
predictions are averaged with weights that fall towards a tile's edges.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def tile_origins(
  size: int, tile: int, min_overlap: int = 20, num_tiles: int | None = None
) -> list[int]:
  """Where tiles begin along one side of an image, ascending, each once.

  Args:
    size: of the image, in pixels.
    tile: of a tile.
    min_overlap: of neighbours, which decides how many there are.
    num_tiles: how many, if not the fewest that overlap enough. There are fewer
      where two would begin at the same pixel.

  Raises:
    ValueError: if tiles can neither overlap so much nor be so few.
  """
  if not 0 <= min_overlap < tile:
    raise ValueError(
      f'min_overlap: found {min_overlap}, expected 0 to {tile - 1}, less than '
      'a tile.'
    )
  if size <= tile:
    return [0]
  fewest = math.ceil((size - min_overlap) / (tile - min_overlap))
  if num_tiles is None:
    num_tiles = fewest
  elif num_tiles * tile < size:
    raise ValueError(
      f'num_tiles: found {num_tiles} of {tile} pixels, expected enough for '
      f'{size}.'
    )
  return sorted({round(x) for x in np.linspace(0, size - tile, num_tiles)})


def tile_weights(tile_size: tuple[int, int]) -> np.ndarray:
  """How much a tile's pixels count: the distance to the edge, [h, w]."""
  rows, columns = (
    np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in tile_size
  )
  return np.minimum(rows[:, None], columns).astype(np.float32)


def predict_tiled(
  predict: Callable[[np.ndarray], np.ndarray],
  frames: np.ndarray,
  tile_size: tuple[int, int],
  *,
  min_overlap: int = 20,
  num_tiles: tuple[int, int] | None = None,
) -> np.ndarray:
  """The prediction for frames of any size.

  An image smaller than a tile is continued by its last row and column, and what
  is predicted there is dropped.

  Args:
    predict: maps [1, T, h, w, C] to [1, h, w, C'], (h, w) the tiles' size.
    frames: [T, H, W, C].
    tile_size: height and width.
    min_overlap, num_tiles: see `tile_origins`; num_tiles along height and
      width.

  Returns:
    float32 [H, W, C'].
  """
  places, frames, size = _places(frames, tile_size, min_overlap, num_tiles)
  tiles = [np.asarray(predict(frames[None, :, *p])[0]) for p in places]
  weights = tile_weights(tile_size)[..., None]
  total = np.zeros((*frames.shape[1:3], tiles[0].shape[-1]), np.float32)
  weight = np.zeros((*frames.shape[1:3], 1), np.float32)
  for place, tile in zip(places, tiles, strict=True):
    total[place] += tile * weights
    weight[place] += weights
  return (total / weight)[: size[0], : size[1]]


def predict_in_batches(
  predict: Callable[[jax.Array], jax.Array],
  frames: jax.Array,
  tile_size: tuple[int, int],
  batch_size: int,
  min_overlap: int = 20,
) -> jax.Array:
  """`predict_tiled` of several, within one compiled function.

  Args:
    predict: maps [b, T, h, w, C] to [b, h, w, C'].
    frames: [B, T, H, W, C].
    tile_size: height and width.
    batch_size: b, of tiles.
    min_overlap: see `tile_origins`.

  Returns:
    float32 [B, H, W, C'].
  """
  places, frames, size = _places(frames, tile_size, min_overlap)
  tiles = jnp.stack([frames[..., *place, :] for place in places])
  found = jax.lax.map(
    lambda tile: predict(tile[None])[0],
    tiles.reshape(-1, *tiles.shape[2:]),
    batch_size=batch_size,
  )
  found = found.reshape(*tiles.shape[:2], *found.shape[1:])
  weights = tile_weights(tile_size)[..., None]
  shape = (*frames.shape[:1], *frames.shape[2:4], found.shape[-1])
  total, weight = jnp.zeros(shape), np.zeros((*shape[1:3], 1), np.float32)
  for place, tile in zip(places, found, strict=True):
    total = total.at[:, *place].add(tile * weights)
    weight[place] += weights
  return (total / weight)[:, : size[0], : size[1]]


def _places(frames, tile_size, min_overlap, num_tiles=None):
  """(slices of each tile, frames [..., H, W, C] as large as a tile at least,
  their size before)"""
  size = frames.shape[-3:-1]
  missing = [max(0, t - n) for t, n in zip(tile_size, size, strict=True)]
  xp = jnp if isinstance(frames, jax.Array) else np
  before = ((0, 0),) * (frames.ndim - 3)
  frames = xp.pad(
    frames, (*before, *((0, n) for n in missing), (0, 0)), mode='edge'
  )
  rows, columns = (
    tile_origins(n, tile, min_overlap, num)
    for n, tile, num in zip(
      size, tile_size, num_tiles or (None, None), strict=True
    )
  )
  places = [
    np.s_[y : y + tile_size[0], x : x + tile_size[1]]
    for y in rows
    for x in columns
  ]
  return places, frames, size

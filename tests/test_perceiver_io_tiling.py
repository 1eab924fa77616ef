"""Tiles: constant and linear fields, one tile, none twice, small images."""

import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_io import tiling

TILE = (8, 12)


class Counted:
  """A prediction per pixel, which notes the tiles it is asked for."""

  def __init__(self, fn):
    self.fn, self.tiles = fn, []

  def __call__(self, frames):
    assert frames.shape[0] == 1 and frames.shape[2:4] == TILE
    self.tiles.append(frames[0, 0].tobytes())
    return self.fn(frames)


def coordinates(height, width):
  """Frames whose pixels say where they are: float32 [2, H, W, 3]."""
  y, x = np.mgrid[:height, :width].astype(np.float32)
  return np.broadcast_to(
    np.stack([x, y, np.ones_like(x)], axis=-1), (2, height, width, 3)
  )


@pytest.mark.parametrize('size', [(8, 12), (9, 30), (21, 13), (40, 50)])
@pytest.mark.parametrize('num_tiles', [None, (6, 6)])
def test_what_depends_on_pixels_alone_does_not_feel_tiles(size, num_tiles):
  """A constant and a linear field, and no tile is predicted twice."""
  frames = coordinates(*size)
  linear = np.float32([[0.5, -1], [2, 0.25], [3, -4]])
  predict = Counted(lambda x: x[:, 0] @ linear)
  flow = tiling.predict_tiled(
    predict, frames, TILE, min_overlap=3, num_tiles=num_tiles
  )
  assert flow.shape == (*size, 2) and flow.dtype == np.float32
  np.testing.assert_allclose(flow, frames[0] @ linear, atol=1e-4)
  assert len(set(predict.tiles)) == len(predict.tiles)


def test_an_image_of_one_tile_is_one_prediction():
  rng = np.random.default_rng(0)
  answer = rng.standard_normal((1, *TILE, 2)).astype(np.float32)
  predict = Counted(lambda x: answer)
  flow = tiling.predict_tiled(predict, coordinates(*TILE), TILE, min_overlap=4)
  assert len(predict.tiles) == 1
  np.testing.assert_allclose(flow, answer[0], rtol=1e-6)


@pytest.mark.parametrize('size', [(5, 12), (8, 7), (3, 4), (5, 20), (20, 5)])
def test_smaller_images_are_continued_by_their_last_pixels(size):
  frames = coordinates(*size)
  predict = Counted(lambda x: x[:, 0, :, :, :2])
  flow = tiling.predict_tiled(predict, frames, TILE, min_overlap=3)
  np.testing.assert_allclose(flow, frames[0, :, :, :2], atol=1e-5)
  first = np.frombuffer(predict.tiles[0], np.float32).reshape(*TILE, 3)
  inside = [min(a, b) for a, b in zip(TILE, size, strict=True)]
  for y in range(TILE[0]):
    for x in range(TILE[1]):
      row, column = min(y, inside[0] - 1), min(x, inside[1] - 1)
      assert first[y, x].tolist() == [column, row, 1]


def test_overlaps_are_averaged_by_the_distance_to_the_edges():
  """By hand, along a row: tiles of 12 at 0 and 8, the first says 0, the
  second 1."""
  answers = iter([np.zeros((1, *TILE, 1)), np.ones((1, *TILE, 1))])
  flow = tiling.predict_tiled(
    lambda x: next(answers), coordinates(8, 20), TILE, min_overlap=4
  )
  # At the middle rows 4 bounds the distance; columns 8 to 11 overlap.
  expected = [0] * 8 + [1 / 5, 2 / 5, 3 / 5, 4 / 5] + [1] * 8
  np.testing.assert_allclose(flow[3, :, 0], expected, atol=1e-6)
  # In the first row the distance is 1 everywhere.
  np.testing.assert_allclose(flow[0, 8:12, 0], 0.5, atol=1e-6)


def test_weights_by_a_loop():
  weights = tiling.tile_weights((5, 7))
  for y in range(5):
    for x in range(7):
      assert weights[y, x] == min(y + 1, 5 - y, x + 1, 7 - x)


def test_sintel_has_the_six_tiles_of_the_paper():
  for num_rows, num_columns in ((2, 3), (None, None)):
    assert tiling.tile_origins(436, 368, 20, num_rows) == [0, 68]
    assert tiling.tile_origins(1024, 496, 20, num_columns) == [0, 264, 528]


@pytest.mark.parametrize('size', range(1, 60))
def test_tiles_cover_everything_and_overlap(size):
  origins = tiling.tile_origins(size, 10, 3)
  assert origins[0] == 0 and origins == sorted(set(origins))
  if size > 10:
    assert origins[-1] == size - 10
    assert np.diff(origins).max() <= 7
    # One fewer would not do.
    assert (len(origins) - 1) * 10 - (len(origins) - 2) * 3 < size


def test_impossible_tiles_are_named():
  with pytest.raises(
    ValueError, match='min_overlap: found 10, expected 0 to 9'
  ):
    tiling.tile_origins(30, 10, 10)
  with pytest.raises(ValueError, match='num_tiles: found 2'):
    tiling.tile_origins(30, 10, 3, 2)


@pytest.mark.parametrize('size', [(8, 12), (21, 30), (5, 20)])
def test_tiles_in_batches_are_the_same(size):
  """Of two images at once, with a function that sees the whole tile."""
  rng = np.random.default_rng(0)
  frames = rng.standard_normal((2, 2, *size, 3)).astype(np.float32)

  def predict(tiles):
    mean = tiles.mean(axis=(1, 2, 3), keepdims=True)[:, 0]
    return tiles[:, 0] * mean + tiles[:, 1]

  found = tiling.predict_in_batches(predict, jnp.asarray(frames), TILE, 2, 3)
  for i in range(2):
    expected = tiling.predict_tiled(predict, frames[i], TILE, min_overlap=3)
    np.testing.assert_allclose(found[i], expected, atol=1e-5)

"""Points, affine maps and what an image has between its pixels."""

import math

import numpy as np


def bilinear(image: np.ndarray, points: np.ndarray) -> np.ndarray:
  """Colours [..., C] of an image [H, W, C] at points [..., (x, y)].

  The image goes on beyond its sides as in a mirror.
  """
  last = np.array(image.shape[1::-1]) - 1
  folded = last - np.abs(points % (2 * last) - last)
  low = np.minimum(folded.astype(np.int64), last - 1)
  x, y = np.moveaxis(low, -1, 0)
  fx, fy = np.moveaxis((folded - low)[..., None], -2, 0)
  upper = image[y, x] * (1 - fx) + image[y, x + 1] * fx
  lower = image[y + 1, x] * (1 - fx) + image[y + 1, x + 1] * fx
  return upper * (1 - fy) + lower * fy


def affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
  """Points [..., 2] after a map [2, 3]."""
  return points @ matrix[:, :2].T + matrix[:, 2]


def linear(angle: float, zoom: float, shear: float) -> np.ndarray:
  """[2, 2]: a shear along x, then a turn by so many radians and a zoom."""
  cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
  return np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])


def about(linear: np.ndarray, source: np.ndarray, target: np.ndarray):
  """[2, 3]: the affine map that takes one point to another."""
  return np.concatenate([linear, (target - linear @ source)[:, None]], axis=1)

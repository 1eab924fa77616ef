"""A strip has its images, its clusters where they look, and its predictions."""

import numpy as np

from tools import strip
from train_lib import pictures


def test_a_cluster_glows_where_it_looks_and_nowhere_else():
  assignment = np.full((2, 4, 4), 1e-6)
  assignment[0, 0, 0] = assignment[1, 3, 3] = 0.9
  plain = np.full((40, 40, 3), 100, np.uint8)
  glow = strip.glow(plain, assignment).astype(int)
  first, second, _ = pictures.palette(2).astype(int)
  assert np.abs(glow[0, 0] - first).max() < 3
  assert np.abs(glow[-1, -1] - second).max() < 3
  dimmed = glow[5, 35]  # the grey of the image, darker
  assert np.ptp(dimmed) < 3 and 0 < dimmed[0] < 60


def test_a_wrong_prediction_says_what_it_is():
  assert strip.caption(np.array([0.1, 0.9]), 1) == '1 (90%)'
  assert strip.caption(np.array([0.6, 0.4]), 1) == '0 (60%), is 1'


def test_a_column_an_image():
  rng = np.random.default_rng(0)
  sizes = [
    strip.draw(
      rng.normal(size=(n, 8, 8, 3)),
      rng.uniform(size=(n, 5, 2, 2)),
      np.full((n, 3), 1 / 3),
      np.zeros(n, int),
    ).size
    for n in (2, 4)
  ]
  (two, height), (four, other) = sizes
  assert height == other and four - two == 2 * (132 + 6)

"""A strip has its images, its clusters and its predictions."""

import numpy as np

from tools import strip


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

"""Sides of MNIST's digits, and the permutation of their pixels."""

import numpy as np
import pytest

from data.images import mnist5k


def pixels(example, **options):
  out = mnist5k.preprocess(example, train=False, rng=None, **options)
  return out['image'].reshape(-1)


def test_one_permutation_for_all_digits_that_its_seed_decides():
  code = np.arange(784) % 256, np.arange(784) // 256  # names every pixel
  low, high = (
    {'image': x.astype(np.uint8).reshape(28, 28, 1), 'label': 3} for x in code
  )
  places = {}
  for example in (low, high):
    plain = pixels(example)
    moved = pixels(example, permutation_seed=0)
    np.testing.assert_array_equal(np.sort(moved), np.sort(plain))
    places[id(example)] = plain, moved
  (a, moved_a), (b, moved_b) = places.values()
  where = {pair: i for i, pair in enumerate(zip(a, b, strict=True))}
  order = [where[pair] for pair in zip(moved_a, moved_b, strict=True)]
  assert sorted(order) == list(range(784))
  assert np.mean(np.array(order) == np.arange(784)) < 0.02
  trained = mnist5k.preprocess(
    low, train=True, rng=np.random.default_rng(0), permutation_seed=0
  )
  np.testing.assert_array_equal(trained['image'].reshape(-1), moved_a)
  assert not np.array_equal(pixels(low, permutation_seed=1), moved_a)


@pytest.mark.parametrize('side', [14, 7, 4, 1])
def test_smaller_digits_are_means_of_squares(side):
  image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), np.uint8)
  example = {'image': image, 'label': 3}
  factor = 28 // side
  squares = image.reshape(side, factor, side, factor)
  found = pixels(example, side=side) * 0.3081 + 0.1307
  np.testing.assert_allclose(
    255 * found,
    squares.mean((1, 3)).reshape(-1),
    atol=1.01,  # rounded across and down
  )
  moved = pixels(example, side=side, permutation_seed=0) * 0.3081 + 0.1307
  np.testing.assert_allclose(np.sort(moved), np.sort(found), atol=1e-6)


@pytest.mark.parametrize('side', [0, 29])
def test_other_sides_are_refused(side):
  example = {'image': np.zeros((28, 28, 1), np.uint8), 'label': 3}
  with pytest.raises(ValueError, match=f'side: found {side}, expected 1 to 28'):
    pixels(example, side=side)

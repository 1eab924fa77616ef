"""The permutation of MNIST's pixels."""

import numpy as np

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

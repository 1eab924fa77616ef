"""Invented grey images of ten classes, for tests and trials."""

from typing import Any

import numpy as np


def patterns(
  split: str,
  num_examples: int,
  *,
  shape: tuple[int, int, int],
  levels: int,
  noise: int,
) -> list[dict[str, Any]]:
  """`image` uint8 of `shape`, one of ten patterns under noise, and `label`.

  Args:
    split: of every split the patterns are the same, the noise is not.
    num_examples: the classes follow each other.
    shape: (H, W, C).
    levels: of the patterns, from 0.
    noise: as many levels more, at most.
  """
  known = np.random.default_rng(0).integers(0, levels, (10, *shape))
  rng = np.random.default_rng(list(split.encode()))
  return [
    {
      'image': (known[i % 10] + rng.integers(0, noise, shape)).astype(np.uint8),
      'label': np.int64(i % 10),
    }
    for i in range(num_examples)
  ]

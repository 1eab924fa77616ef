"""The arrays of the goldens in tests/golden/detection.

They are what mmdetection 3.0.0 returned; inputs that are not in the files are
drawn by their names, as `golden_paca.normal` does.
"""

import pathlib

import numpy as np

from tests import golden_paca

FOLDER = pathlib.Path(__file__).parent / 'golden' / 'detection'
STRIDES = (4, 8, 16, 32, 64)


def load(name):
  with np.load(FOLDER / f'{name}.npz') as data:
    return dict(data)


def normal(key, shape):
  """[..., C, h, w] of theirs as our [..., h, w, C]."""
  return np.moveaxis(golden_paca.normal(key, shape), -3, -1)


def maps(key, channels, size, strides=STRIDES[:4]):
  """Two images' maps, from fine to coarse."""
  return [
    normal(f'{key}/map{i}', (2, c, size[0] // s, size[1] // s))
    for i, (c, s) in enumerate(zip(channels, strides, strict=True))
  ]


def unpack(packed, shape):
  """The 0/1 array of a `..._packed`."""
  return np.unpackbits(packed)[: np.prod(shape)].reshape(shape)

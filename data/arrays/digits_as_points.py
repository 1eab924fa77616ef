"""scikit-learn's 1,797 digits as point clouds, a file as a user would have it.

  python -m data.prepare arrays.digits_as_points --data_dir=.

writes ./digits.npz. The inked ones of a digit's 8 x 8 pixels, in random order:
`coordinates` (row, column), `x` the ink, 1 to 16, `mask`, `y`; every fifth
digit tests, as in data/images/digits.py.
"""

import gzip
import os

import numpy as np

from data import tfds_source

_SIDE = 8


def main(argv):
  args = tfds_source.preparation_parser(
    __name__, 'Writes digits.npz.'
  ).parse_args(argv)
  path = tfds_source.package_file(
    'sklearn', 'datasets/data/digits.csv.gz', extra='demo'
  )
  with gzip.open(path, 'rt') as file:
    table = np.loadtxt(file, delimiter=',', dtype=np.uint8)
  test = np.arange(len(table)) % 5 == 4
  np.savez(
    os.path.join(os.path.expanduser(args.data_dir), 'digits.npz'),
    **points(table[:, :-1].reshape(-1, _SIDE, _SIDE)),
    y=table[:, -1],
    split=np.where(test, 'test', 'train'),
  )


def points(images: np.ndarray) -> dict[str, np.ndarray]:
  """Inked pixels [E, M, ...] of images [E, H, W], filled up with zeros.

  Returns:
    `coordinates` [E, M, 2], `x` [E, M, 1] and `mask` [E, M], float32.
  """
  rng = np.random.default_rng(0)
  num, most = len(images), np.count_nonzero(images, axis=(1, 2)).max()
  found = {
    'coordinates': np.zeros((num, most, 2), np.float32),
    'x': np.zeros((num, most, 1), np.float32),
    'mask': np.zeros((num, most), np.float32),
  }
  for i, image in enumerate(images):
    places = rng.permutation(np.argwhere(image))
    found['coordinates'][i, : len(places)] = places
    found['x'][i, : len(places), 0] = image[tuple(places.T)]
    found['mask'][i, : len(places)] = 1
  return found

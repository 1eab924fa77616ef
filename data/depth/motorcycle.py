"""Depth of a real scene: Middlebury's stereo pair, as scikit-image ships it.

The left photograph of 500 x 741 and the disparity of each pixel (Scharstein et
al. 2014), from which the depth follows. It is cut into 8 vertical strips; the
3rd and the 6th test, so that no test pixel is in a training crop.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import tfds_source
from data.depth import depth_ops

# Of the calibration at this size: pixels, metres, pixels.
_FOCAL, _BASELINE, _OFFSET = 994.978, 0.193001, 31.086
_STRIP, _TEST = 92, (2, 5)


class Motorcycle(tfds.core.GeneratorBasedBuilder):
  """Writes strips of 500 x 92 pixels: 6 train, 2 test."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Eight strips, two of which test.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Vertical strips of one photograph and their depth.',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(
            shape=(500, _STRIP, 3), encoding_format='png'
          ),
          # Metres, 0 where it is not known.
          'depth': tfds.features.Tensor(
            shape=(500, _STRIP), dtype=np.float32, encoding='zlib'
          ),
        }
      ),
      homepage='https://vision.middlebury.edu/stereo/data/scenes2014/',
    )

  def _split_generators(self, dl_manager):
    strips = set(range(8))
    return {
      'train': self._generate_examples(sorted(strips - set(_TEST))),
      'test': self._generate_examples(_TEST),
    }

  def _generate_examples(self, strips):
    image, disparity = (
      tfds_source.package_file('skimage', f'data/{name}', extra='demo')
      for name in ('motorcycle_left.png', 'motorcycle_disp.npz')
    )
    image = PIL.Image.open(image).convert('RGB')
    with np.load(disparity) as file:
      (disparity,) = file.values()
    depth = to_depth(disparity)
    for i in strips:
      columns = slice(i * _STRIP, (i + 1) * _STRIP)
      yield (
        i,
        {
          'image': image.crop((columns.start, 0, columns.stop, 500)),
          'depth': depth[:, columns],
        },
      )


def to_depth(disparity: np.ndarray) -> np.ndarray:
  """Metres, 0 where the disparity, in pixels, is not finite."""
  known = np.isfinite(disparity)
  return np.where(
    known, _BASELINE * _FOCAL / (np.where(known, disparity, 0) + _OFFSET), 0
  ).astype(np.float32)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` uint8 [500, 92, 3] and `depth` float32 [500, 92], in memory."""
  return list(tfds_source.prepare_and_open(Motorcycle, split, data_dir))


def synthetic(split: str, num_examples: int = 8) -> list[dict[str, Any]]:
  """Examples shaped like `source`'s: what is darker is further away."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for _ in range(num_examples):
    depth = np.linspace(5, 2, 500, dtype=np.float32)[:, None]
    depth = np.repeat(depth, _STRIP, axis=1)
    image = 500 / depth[..., None] - rng.integers(0, 30, (500, _STRIP, 3))
    depth = np.where(rng.random(depth.shape) < 0.07, 0, depth)
    examples.append({'image': image.astype(np.uint8), 'depth': depth})
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  crop_size: tuple[int, int],
  rows: bool = False,
) -> dict[str, np.ndarray]:
  """A random crop, flip and colours in training; else the whole strip.

  Args:
    example: of `source` or `synthetic`.
    train: which of the two.
    rng: what to draw from; only used in training.
    crop_size: (height, width), pixels.
    rows: whether the photograph's height is the image's last channel.

  Returns:
    `image` float32 [h, w, 3 or 4] and `depth` float32 [h, w].
  """
  image, depth = PIL.Image.fromarray(example['image']), example['depth']
  planes = np.stack([depth, depth_ops.row_heights(depth.shape)], axis=-1)
  if train:
    image, planes = depth_ops.augment(image, planes, rng, crop_size)
  depth, heights = np.moveaxis(planes, -1, 0)
  return depth_ops.as_example(image, depth, heights if rows else None)

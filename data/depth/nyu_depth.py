"""NYU Depth v2, indoor photographs with depth, as TFDS prepares it.

TFDS needs TensorFlow and h5py to prepare it, once (32 GB to download):

  pip install -e '.[tf]' h5py
  python -c "import tensorflow_datasets as tfds; tfds.builder('nyu_depth_v2', \
    data_dir='DIR', file_format='array_record').download_and_prepare()"

To read it, none of that is needed. Splits: 'train' (47,584) and 'validation'
(654). Images are 480 x 640.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import image_ops, tfds_source
from data.depth import depth_ops

_LARGEST = 10.0  # metres; what is further does not count
# Rows and columns that count in evaluations (Eigen et al. 2014).
_ROWS, _COLUMNS = slice(45, 471), slice(41, 601)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image` (an encoded file) and `depth` float16 [480, 640], metres."""
  return tfds_source.open_prepared(
    'nyu_depth_v2',
    split,
    data_dir,
    command="tfds.builder('nyu_depth_v2').download_and_prepare()",
    decoders={'image': tfds.decode.SkipDecoding()},
  )


def synthetic(split: str, num_examples: int = 8) -> list[dict[str, Any]]:
  """Decoded examples: what is darker is further away."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for _ in range(num_examples):
    depth = PIL.Image.fromarray(rng.uniform(1, 9, (4, 5)).astype(np.float32))
    depth = np.asarray(depth.resize((640, 480), PIL.Image.Resampling.BILINEAR))
    image = np.repeat(250 / depth[..., None], 3, axis=2).astype(np.uint8)
    examples.append({'image': image, 'depth': depth.astype(np.float16)})
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  crop_size: tuple[int, int],
) -> dict[str, np.ndarray]:
  """A random crop, flip and colours in training; else the whole image.

  Args:
    example: of `source` or `synthetic`.
    train: which of the two; evaluation only counts Eigen's crop.
    rng: what to draw from; only used in training.
    crop_size: (height, width), pixels.

  Returns:
    `image` float32 [h, w, 3] and `depth` float32 [h, w], 0 where it does not
    count.
  """
  image = image_ops.open_image(example['image']).convert('RGB')
  depth = np.asarray(example['depth'], np.float32)
  depth = np.where(depth <= _LARGEST, depth, 0)
  if train:
    image, depth = depth_ops.augment(image, depth, rng, crop_size)
  else:
    counted = np.zeros_like(depth)
    counted[_ROWS, _COLUMNS] = depth[_ROWS, _COLUMNS]
    depth = counted
  return depth_ops.as_example(image, depth)

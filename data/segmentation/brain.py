"""Brain tissue in slices of the ICBM152 atlas, as the package nilearn ships it.

The atlas (MNI, nonlinear 2009a: an average of 152 brains) comes as a T1 image
and maps of how much of each voxel is grey and white matter; a voxel's label is
the largest share: 0 outside the brain, 1 fluid and other, 2 grey, 3 white. One
example is one axial slice of 1 mm. Every fourth block of 7 slices tests, so
that a test slice's neighbours are test slices; slices of other orientations
are not used, since they would cut through the test slices.

An average of 152 scans has hardly any noise, and a look-up of the intensity
labels it almost perfectly. A scanner's images are not like that: `preprocess`
adds what it adds, noise and a smooth non-uniformity of the intensity.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import image_ops, tfds_source
from data.segmentation import segmentation_ops

CLASSES = ('outside', 'fluid', 'grey matter', 'white matter')
_FIRST, _LAST, _BLOCK = 14, 146, 7  # slices with brain in 5 % of their area
# The brain's box, pixels: left, upper, right, lower.
_BOX = (24, 20, 172, 212)
_MEAN, _STD = (0.35,), (0.35,)


class Brain(tfds.core.GeneratorBasedBuilder):
  """Writes the slices as 8 bit images of 192 x 148: 98 train, 35 test."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Axial slices, every fourth block of 7 tests.'}

  def _info(self):
    image = tfds.features.Image(shape=(192, 148, 1), encoding_format='png')
    return self.dataset_info_from_configs(
      description='Axial slices of the ICBM152 T1 atlas and their tissues.',
      features=tfds.features.FeaturesDict(
        {'image': image, 'label': image, 'slice': np.int32}
      ),
      homepage='https://www.bic.mni.mcgill.ca/ServicesAtlases/ICBM152NLin2009',
    )

  def _split_generators(self, dl_manager):
    slices = np.arange(_FIRST, _LAST + 1)
    tests = (slices - _FIRST) // _BLOCK % 4 == 2
    return {
      'train': self._generate_examples(slices[~tests]),
      'test': self._generate_examples(slices[tests]),
    }

  def _generate_examples(self, slices):
    t1, grey, white = (_volume(name) for name in ('t1', 'gm', 'wm'))
    other = 255 - np.minimum(grey.astype(int) + white, 255)
    labels = 1 + np.argmax([other, grey, white], axis=0)
    labels = np.where(t1 == 0, 0, labels).astype(np.uint8)
    for i in slices:
      # Columns run from left to right, rows from the front to the back.
      pictures = (
        PIL.Image.fromarray(x[:, ::-1, i].T).crop(_BOX) for x in (t1, labels)
      )
      yield (
        int(i),
        dict(zip(('image', 'label'), pictures, strict=True), slice=i),
      )


def _volume(name: str) -> np.ndarray:
  """uint8 [left to right, back to front, bottom to top]."""
  path = tfds_source.package_file(
    'nilearn',
    f'datasets/data/mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz',
    extra='brain',
  )
  import nibabel  # nilearn needs it, so it is there

  return np.asarray(nibabel.load(path).dataobj)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`image`, `label` uint8 [192, 148, 1], decoded into memory, and `slice`."""
  return list(tfds_source.prepare_and_open(Brain, split, data_dir))


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Examples shaped like `source`'s: noisy discs in each other."""
  rng = np.random.default_rng(list(split.encode()))
  y, x = np.mgrid[:192, :148]
  examples = []
  for i in range(num_examples):
    radius = np.hypot(y - 96, x - 74) / rng.uniform(50, 70)
    label = np.digitize(-radius, [-1, -0.8, -0.5]).astype(np.uint8)
    image = np.clip(70 * label + rng.integers(-10, 10, label.shape), 0, 255)
    examples.append(
      {
        'image': image.astype(np.uint8)[..., None],
        'label': label[..., None],
        'slice': np.int32(i),
      }
    )
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  crop_size: int,
  scale: tuple[float, float],
  magnification: float = 2.0,
  noise: float = 0.05,
  non_uniformity: float = 0.4,
) -> dict[str, np.ndarray]:
  """Adds a scanner's faults, magnifies, and in training crops and flips.

  Args:
    example: of `source` or `synthetic`.
    train: whether to crop at random; evaluation sees whole slices whose faults
      are drawn from the slice's number: the same each time.
    rng: what to draw from; only used in training.
    magnification: of the slices, since a prediction is made every 4 pixels.
    crop_size: the side of the training crop, pixels, S.
    scale: the range of a further magnification in training.
    noise: the standard deviation of the two channels of a magnitude image, in
      shares of the largest intensity.
    non_uniformity: by how much intensities are off at most, as a share.

  Returns:
    `image` float32 [S, S, 1] and `label` int32 [S, S]; in evaluation
    [192 m, 148 m] for a magnification m.
  """
  if not train:
    rng = np.random.default_rng(int(example['slice']))
  pixels = _with_faults(example['image'][..., 0], rng, noise, non_uniformity)
  image = PIL.Image.fromarray(pixels)
  labels = example['label'][..., 0]
  segmentation_ops.check_values(labels, len(CLASSES), f'{example["slice"]}')
  factor = magnification * (rng.uniform(*scale) if train else 1)
  width, height = (round(side * factor) for side in image.size)
  image, labels = segmentation_ops.resize(image, labels, width, height)
  if train:
    size = (crop_size, crop_size)
    image, labels = segmentation_ops.random_crop(
      image, labels, rng, size=size, max_share=0.75
    )
    image, labels = segmentation_ops.random_flip(image, labels, rng)
  return {
    'image': image_ops.normalize(image, _MEAN, _STD),
    'label': labels.astype(np.int32),
  }


def _with_faults(pixels, rng, noise, non_uniformity):
  """Magnitudes under complex noise (Rician), times a smooth field."""
  field = PIL.Image.fromarray(rng.uniform(-1, 1, (4, 4)).astype(np.float32))
  field = np.asarray(
    field.resize(pixels.shape[::-1], PIL.Image.Resampling.BICUBIC)
  )
  field = 1 + non_uniformity * field / np.abs(field).max()
  real, imaginary = rng.normal(0, noise, (2, *pixels.shape))
  magnitude = np.hypot(pixels / 255 * field + real, imaginary)
  return np.clip(255 * magnitude, 0, 255).astype(np.uint8)

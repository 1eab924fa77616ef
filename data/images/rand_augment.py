"""RandAugment (Cubuk et al. 2019, arXiv 1909.13719) on one PIL image."""

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import ImageEnhance, ImageOps
from PIL.Image import Image, Resampling, Transform

_Op = Callable[[Image], Image]


@dataclasses.dataclass(frozen=True)
class RandAugment:
  """Applies a few operations, drawn with replacement, one after the other.

  timm's `rand-m9-mstd0.5-inc1` is RandAugment(num_layers=2, magnitude=9,
  magnitude_std=0.5, prob=0.5, increasing=True, fill=the mean colour). The
  paper's N=4, M=5 is RandAugment(num_layers=4, magnitude=5, magnitude_std=0,
  prob=1, increasing=False, fill=(128, 128, 128)).

  Attributes:
    num_layers: how many operations are drawn for an image.
    magnitude: their strength, 0 to 10.
    magnitude_std: of the normal noise on the magnitude, drawn per operation;
      the sum is clipped to [0, 10].
    prob: the probability that an operation, once drawn, is applied.
    increasing: whether to use timm's 15 operations whose effect grows with the
      magnitude, bicubic, or the 16 of the original implementation, nearest
      neighbour.
    fill: the RGB colour that comes in at the borders.
  """

  num_layers: int
  magnitude: float
  magnitude_std: float
  prob: float
  increasing: bool
  fill: tuple[int, int, int]

  def __post_init__(self):
    if not 0 <= self.magnitude <= 10:
      raise ValueError(f'magnitude: {self.magnitude} is not in [0, 10].')
    if not 0 <= self.prob <= 1:
      raise ValueError(f'prob: {self.prob} is not in [0, 1].')
    if self.num_layers < 0 or self.magnitude_std < 0:
      raise ValueError(
        'num_layers and magnitude_std: expected no negative value, found '
        f'{self.num_layers} and {self.magnitude_std}.'
      )

  def __call__(self, image: Image, rng: np.random.Generator) -> Image:
    """The augmented image, of the same size; `image` is RGB."""
    make_ops = increasing_ops if self.increasing else original_ops
    for _ in range(self.num_layers):
      magnitude = rng.normal(self.magnitude, self.magnitude_std)
      ops = make_ops(np.clip(magnitude, 0, 10) / 10, rng, self.fill)
      op = list(ops.values())[rng.integers(len(ops))]
      if rng.random() < self.prob:
        image = op(image)
    return image


def increasing_ops(
  level: float, rng: np.random.Generator, fill: tuple[int, int, int]
) -> dict[str, _Op]:
  """timm's operations of `inc1`, by name, at a level in [0, 1].

  Levels as in timm/data/auto_augment.py. At level 0 all but auto_contrast,
  equalize, invert and posterize (4 bits) leave an image as it is.
  """

  def factor():
    return max(0.1, 1 + _signed(0.9 * level, rng))

  def affine(image, matrix):
    return _affine(image, matrix, Resampling.BICUBIC, fill)

  def shear():
    return _signed(0.3 * level, rng)

  def shift(side):  # a share of the image: translate_const plays no role here
    return _signed(0.45 * level, rng) * side

  return {
    'auto_contrast': ImageOps.autocontrast,
    'equalize': ImageOps.equalize,
    'invert': ImageOps.invert,
    'rotate': lambda image: image.rotate(
      _signed(30 * level, rng), Resampling.BICUBIC, fillcolor=fill
    ),
    'posterize': lambda image: _posterize(image, 4 - int(level * 4)),
    'solarize': lambda image: ImageOps.solarize(image, 256 - int(level * 256)),
    'solarize_add': lambda image: _solarize_add(image, int(level * 110)),
    'color': lambda image: ImageEnhance.Color(image).enhance(factor()),
    'contrast': lambda image: ImageEnhance.Contrast(image).enhance(factor()),
    'brightness': lambda image: ImageEnhance.Brightness(image).enhance(
      factor()
    ),
    'sharpness': lambda image: ImageEnhance.Sharpness(image).enhance(factor()),
    'shear_x': lambda image: affine(image, (1, shear(), 0, 0, 1, 0)),
    'shear_y': lambda image: affine(image, (1, 0, 0, shear(), 1, 0)),
    'translate_x': lambda image: affine(
      image, (1, 0, shift(image.size[0]), 0, 1, 0)
    ),
    'translate_y': lambda image: affine(
      image, (1, 0, 0, 0, 1, shift(image.size[1]))
    ),
  }


def original_ops(
  level: float, rng: np.random.Generator, fill: tuple[int, int, int]
) -> dict[str, _Op]:
  """The original TensorFlow operations, by name, at a level in [0, 1].

  Posterize and solarize weaken as the level grows, the enhancements cross
  identity at 0.5, translations and cutout are in pixels.
  """
  factor = 1.8 * level + 0.1

  def affine(image, matrix):
    return _affine(image, matrix, Resampling.NEAREST, fill)

  def shear():
    return _signed(0.3 * level, rng)

  def shift():
    return _signed(100 * level, rng)

  return {
    'auto_contrast': ImageOps.autocontrast,
    'equalize': ImageOps.equalize,
    'invert': ImageOps.invert,
    'rotate': lambda image: image.rotate(
      _signed(30 * level, rng), Resampling.NEAREST, fillcolor=fill
    ),
    'posterize': lambda image: _posterize(image, int(level * 4)),
    'solarize': lambda image: ImageOps.solarize(image, int(level * 256)),
    'solarize_add': lambda image: _solarize_add(image, int(level * 110)),
    'color': lambda image: ImageEnhance.Color(image).enhance(factor),
    'contrast': lambda image: ImageEnhance.Contrast(image).enhance(factor),
    'brightness': lambda image: ImageEnhance.Brightness(image).enhance(factor),
    'sharpness': lambda image: ImageEnhance.Sharpness(image).enhance(factor),
    'shear_x': lambda image: affine(image, (1, shear(), 0, 0, 1, 0)),
    'shear_y': lambda image: affine(image, (1, 0, 0, shear(), 1, 0)),
    'translate_x': lambda image: affine(image, (1, 0, shift(), 0, 1, 0)),
    'translate_y': lambda image: affine(image, (1, 0, 0, 0, 1, shift())),
    'cutout': lambda image: _cutout(image, int(level * 40), rng, fill),
  }


def _signed(value: float, rng: np.random.Generator) -> float:
  return value if rng.random() < 0.5 else -value


def _affine(image, matrix, resample, fill) -> Image:
  return image.transform(
    image.size, Transform.AFFINE, matrix, resample, fillcolor=fill
  )


def _posterize(image: Image, bits: int) -> Image:
  """Keeps the highest bits; none is black, which PIL's own refuses to do."""
  kept = 256 - 2 ** (8 - bits)
  return image.point([i & kept for i in range(256)] * 3)


def _solarize_add(image: Image, add: int) -> Image:
  """Adds to the values below 128."""
  table = [min(255, i + add) if i < 128 else i for i in range(256)]
  return image.point(table * 3)


def _cutout(image, half_side, rng, fill) -> Image:
  """Fills a square about a random pixel, clipped at the borders."""
  x, y = rng.integers(image.size[0]), rng.integers(image.size[1])
  left, top = max(0, int(x) - half_side), max(0, int(y) - half_side)
  right = min(image.size[0], int(x) + half_side)
  bottom = min(image.size[1], int(y) + half_side)
  image = image.copy()
  if right > left and bottom > top:
    image.paste(fill, (left, top, right, bottom))
  return image

"""Operations on an image and its label map, on the host.

An image is RGB or grey (PIL, 8 bits), its labels uint8 [H, W], 255 where a
pixel has none. What mmsegmentation's recipes do is reproduced: ranges, order,
probabilities.
"""

import numpy as np
import PIL.Image
from PIL.Image import Image, Resampling, Transpose

from data import image_ops

IGNORE = 255
# Of RGB in [0, 1]: mmsegmentation's, which are ImageNet's times 255.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def check_pair(image: Image, labels: np.ndarray, name: str) -> None:
  """Raises ValueError naming the file if image and labels differ in size."""
  if labels.shape != image.size[::-1]:
    raise ValueError(
      f'{name}: expected a mask as large as its image, height x width '
      f'{image.size[1]} x {image.size[0]}, found {labels.shape}.'
    )


def check_values(labels: np.ndarray, num_classes: int, name: str) -> None:
  """Raises ValueError naming the file and the values that are no class."""
  found = np.unique(labels)
  unknown = [int(x) for x in found if x >= num_classes and x != IGNORE]
  if unknown:
    raise ValueError(
      f'{name}: expected labels below {num_classes} or {IGNORE} (ignored), '
      f'found {unknown}.'
    )


def resize(
  image: Image, labels: np.ndarray | None, width: int, height: int
) -> tuple[Image, np.ndarray | None]:
  """Bilinear for the image, nearest neighbour for the labels.

  PIL smooths what it shrinks; OpenCV, and so mmsegmentation, does not.
  """
  image = image.resize((width, height), Resampling.BILINEAR)
  if labels is not None:
    labels = np.asarray(
      PIL.Image.fromarray(labels).resize((width, height), Resampling.NEAREST)
    )
  return image, labels


def fit_size(
  image: Image, bounds: tuple[int, int], multiple: int = 1
) -> tuple[int, int]:
  """(width, height) that keeps the aspect and fits into bounds.

  Args:
    image: the image.
    bounds: of the longer and of the shorter side.
    multiple: both sides are rounded to a multiple of it, at least one.
  """
  longer, shorter = max(image.size), min(image.size)
  scale = min(max(bounds) / longer, min(bounds) / shorter)
  return tuple(
    max(multiple, round(side * scale / multiple) * multiple)
    for side in image.size
  )


def random_crop(
  image: Image,
  labels: np.ndarray,
  rng: np.random.Generator,
  *,
  size: tuple[int, int],
  max_share: float,
) -> tuple[Image, np.ndarray]:
  """A crop that no class dominates, if ten attempts find one.

  Args:
    image: the image.
    labels: its labels.
    rng: what to draw from.
    size: (height, width) of the crop; smaller along short sides.
    max_share: of the labelled pixels that one class may have, unless the crop
      has a single class in all ten attempts; 1 to take the first crop.
  """
  full_height, full_width = labels.shape
  height, width = min(size[0], full_height), min(size[1], full_width)
  for _ in range(10):
    top = int(rng.integers(full_height - height, endpoint=True))
    left = int(rng.integers(full_width - width, endpoint=True))
    crop = labels[top : top + height, left : left + width]
    counts = np.bincount(crop[crop != IGNORE], minlength=1)
    if np.count_nonzero(counts) > 1 and counts.max() < max_share * counts.sum():
      break
    if max_share >= 1:
      break
  return image.crop((left, top, left + width, top + height)), crop


def random_flip(
  image: Image, labels: np.ndarray, rng: np.random.Generator
) -> tuple[Image, np.ndarray]:
  """Mirrors both left and right, one time in two."""
  if rng.random() < 0.5:
    return image.transpose(Transpose.FLIP_LEFT_RIGHT), labels[:, ::-1]
  return image, labels


def photometric_distortion(image: Image, rng: np.random.Generator) -> Image:
  """Brightness, contrast, saturation and hue, each one time in two.

  Brightness +-32 of 255, contrast and saturation times 0.5 to 1.5, hue +-36
  degrees. Contrast comes before saturation and hue or after them, by a coin.
  """
  pixels = np.asarray(image, np.float32)
  if rng.random() < 0.5:
    pixels = _clip(pixels + rng.uniform(-32, 32))
  contrast_first = rng.random() < 0.5
  contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
  if contrast_first:
    pixels = _clip(pixels * contrast)
  saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
  hue = rng.uniform(-36, 36) if rng.random() < 0.5 else 0.0
  if (saturation, hue) != (1.0, 0.0):
    hsv = PIL.Image.fromarray(pixels.astype(np.uint8)).convert('HSV')
    hsv = np.array(hsv, np.float32)
    hsv[..., 0] = (hsv[..., 0] + round(hue * 256 / 360)) % 256
    hsv[..., 1] = _clip(hsv[..., 1] * saturation)
    hsv = PIL.Image.fromarray(hsv.astype(np.uint8), 'HSV')
    pixels = np.asarray(hsv.convert('RGB'), np.float32)
  if not contrast_first:
    pixels = _clip(pixels * contrast)
  return PIL.Image.fromarray(pixels.astype(np.uint8))


def pad(
  pixels: np.ndarray, labels: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """Zeros and ignored labels at the right and below, up to (height, width)."""
  missing = [max(0, s - n) for s, n in zip(size, labels.shape, strict=True)]
  around = [(0, n) for n in missing]
  return (
    np.pad(pixels, [*around, (0, 0)]),
    np.pad(labels, around, constant_values=IGNORE),
  )


def preprocess_photo(
  image: Image,
  labels: np.ndarray,
  *,
  train: bool,
  rng: np.random.Generator | None,
  bounds: tuple[int, int],
  crop_size: int,
  scale: tuple[float, float],
  max_share: float,
  size_multiple: int = 1,
) -> dict[str, np.ndarray]:
  """mmsegmentation's pipeline of ADE20K.

  Training: resized to fit `bounds` times a random scale, random crop, flip,
  photometric distortion, padding. Evaluation: resized to fit `bounds`, while
  the labels keep their size.

  Args:
    image: RGB.
    labels: its labels.
    train: which of the two.
    rng: what to draw from; only used in training.
    bounds: of the longer and of the shorter side, pixels.
    crop_size: the side of the training crop, pixels, S.
    scale: the range of the random scale.
    max_share: of a crop's labelled pixels that one class may have.
    size_multiple: in evaluation sides are rounded to a multiple of it: fewer
      sizes, fewer compilations. 1 as published.

  Returns:
    `image` float32 [S, S, 3] and `label` int32 [S, S]; in evaluation their
    sizes vary.
  """
  if train:
    factor = rng.uniform(*scale)
    width, height = fit_size(image, tuple(round(x * factor) for x in bounds))
    image, labels = resize(image, labels, width, height)
    size = (crop_size, crop_size)
    image, labels = random_crop(
      image, labels, rng, size=size, max_share=max_share
    )
    image, labels = random_flip(image, labels, rng)
    image = photometric_distortion(image, rng)
    pixels = image_ops.normalize(image, _MEAN, _STD)
    pixels, labels = pad(pixels, labels, size)
  else:
    width, height = fit_size(image, bounds, size_multiple)
    image, _ = resize(image, None, width, height)
    pixels = image_ops.normalize(image, _MEAN, _STD)
  return {'image': pixels, 'label': labels.astype(np.int32)}


def _clip(pixels):
  return np.clip(pixels, 0, 255)

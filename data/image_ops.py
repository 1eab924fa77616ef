"""Operations on one image, on the host: PIL in, PIL out, an explicit rng.

Every function takes and returns RGB (or grey) images of 8 bits. What timm's
ImageNet recipes do is reproduced to the letter where it matters: which levels,
which order, which rounding.
"""

import functools
import io
import math

import numpy as np
import PIL.Image
from PIL import ImageEnhance
from PIL.Image import Image, Resampling, Transform, Transpose


def open_image(data: bytes | np.ndarray) -> Image:
  """An image from an encoded file or from pixels uint8 [H, W, 1 or 3].

  A file is not decoded yet: `image.size` is known, and whoever crops first can
  still ask the JPEG decoder for less. EXIF orientation is ignored, as it is by
  all who published numbers on ImageNet.
  """
  if isinstance(data, bytes):
    return PIL.Image.open(io.BytesIO(data))
  return PIL.Image.fromarray(data[:, :, 0] if data.shape[2] == 1 else data)


def random_resized_crop(
  image: Image,
  rng: np.random.Generator,
  *,
  size: int,
  scale: tuple[float, float],
  ratio: tuple[float, float],
) -> Image:
  """A crop of random area and aspect, resized to a square, as RGB.

  As torchvision and timm do it: ten attempts at a box inside the image, then
  the largest central box whose aspect is allowed. Where the crop is at least
  twice the output, the JPEG decoder halves the image as it decodes, which is
  much faster and leaves more pixels than are asked for.

  Args:
    image: the image, decoded or not.
    rng: what to draw from.
    size: the side of the output in pixels.
    scale: the range of the crop's share of the image's area.
    ratio: the range of width / height, drawn log-uniformly.
  """
  crop, box = scaled_crop(image, rng, size=size, scale=scale, ratio=ratio)
  return crop.resize((size, size), Resampling.BICUBIC, box)


def scaled_crop(
  image: Image,
  rng: np.random.Generator,
  *,
  size: int,
  scale: tuple[float, float],
  ratio: tuple[float, float],
) -> tuple[Image, tuple[float, ...]]:
  """What `random_resized_crop` resizes, which says what the arguments are.

  Returns:
    The whole pixels that the crop touches, as RGB, and the crop's left, top,
    right and bottom among them.
  """
  left, top, width, height = crop_box(image.size, rng, scale, ratio)
  box = np.array((left, top, left + width, top + height), np.float64)
  shrink = min(width, height) // size
  if shrink > 1:
    full_width, full_height = image.size
    drafted = image.draft(
      image.mode, (full_width // shrink, full_height // shrink)
    )
    if drafted:  # a JPEG: (mode, where the image's corners are now)
      box *= drafted[1][2] / full_width
  outer = (*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int))
  crop = image.crop(tuple(map(int, outer))).convert('RGB')
  return crop, tuple(box - np.tile(outer[:2], 2))


def crop_box(image_size, rng, scale, ratio) -> tuple[int, int, int, int]:
  """(left, top, width, height) of a random crop."""
  full_width, full_height = image_size
  for _ in range(10):
    area = full_width * full_height * rng.uniform(*scale)
    aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
    width = round(math.sqrt(area * aspect))
    height = round(math.sqrt(area / aspect))
    if 0 < width <= full_width and 0 < height <= full_height:
      top = rng.integers(full_height - height, endpoint=True)
      left = rng.integers(full_width - width, endpoint=True)
      return int(left), int(top), width, height
  width, height = full_width, full_height
  if full_width / full_height < ratio[0]:
    height = round(full_width / ratio[0])
  elif full_width / full_height > ratio[1]:
    width = round(full_height * ratio[1])
  return (full_width - width) // 2, (full_height - height) // 2, width, height


def random_crop(
  image: Image,
  rng: np.random.Generator,
  *,
  scale: tuple[float, float],
  ratio: tuple[float, float],
) -> Image:
  """A crop as `random_resized_crop`'s, at its own resolution, as RGB."""
  left, top, width, height = crop_box(image.size, rng, scale, ratio)
  return image.crop((left, top, left + width, top + height)).convert('RGB')


def center_crop(image: Image, *, fraction: float) -> Image:
  """The central square whose side is `fraction` of the short side, as RGB."""
  width, height = image.size
  side = max(1, int(fraction * min(width, height)))
  left, top = (width - side + 1) // 2, (height - side + 1) // 2
  return image.crop((left, top, left + side, top + side)).convert('RGB')


def random_flip(image: Image, rng: np.random.Generator) -> Image:
  """Mirrors left and right, one time in two."""
  return (
    image.transpose(Transpose.FLIP_LEFT_RIGHT) if is_flipped(rng) else image
  )


def is_flipped(rng: np.random.Generator) -> bool:
  """What `random_flip` draws."""
  return rng.random() < 0.5


def color_jitter(
  image: Image,
  rng: np.random.Generator,
  *,
  brightness: float,
  contrast: float,
  saturation: float,
) -> Image:
  """Scales brightness, contrast and saturation, in random order.

  Each by a factor drawn from [max(0, 1 - x), 1 + x], x its argument.
  """
  changes = (
    (ImageEnhance.Brightness, brightness),
    (ImageEnhance.Contrast, contrast),
    (ImageEnhance.Color, saturation),
  )
  for i in rng.permutation(len(changes)):
    enhance, strength = changes[i]
    factor = rng.uniform(max(0.0, 1 - strength), 1 + strength)
    image = enhance(image).enhance(factor)
  return image


def random_affine(
  image: Image,
  rng: np.random.Generator,
  *,
  degrees: float,
  translate: float,
  scale: tuple[float, float],
) -> Image:
  """Rotates, magnifies and shifts about the centre; black comes in.

  Args:
    image: the image.
    rng: what to draw from.
    degrees: the largest rotation, either way.
    translate: the largest shift along each axis, in pixels.
    scale: the range of the magnification.
  """
  angle = math.radians(rng.uniform(-degrees, degrees))
  zoom = rng.uniform(*scale)
  shift_x, shift_y = rng.uniform(-translate, translate, size=2)
  # PIL wants the map from a place in the output to its place in the input.
  cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
  x, y = image.size[0] / 2, image.size[1] / 2
  from_x, from_y = x + shift_x, y + shift_y
  matrix = (
    *(cos, -sin, x - cos * from_x + sin * from_y),
    *(sin, cos, y - sin * from_x - cos * from_y),
  )
  return image.transform(
    image.size, Transform.AFFINE, matrix, Resampling.BILINEAR
  )


def resize_and_center_crop(
  image: Image, *, size: int, crop_fraction: float
) -> Image:
  """The central square of an image whose short side became size / fraction.

  Args:
    image: the image, decoded or not.
    size: the side of the output in pixels.
    crop_fraction: the output's share of the resized short side, which is
      floor(size / crop_fraction): 248 for 224 and 0.9.
  """
  short = math.floor(size / crop_fraction)
  width, height = image.size
  if width <= height:
    resized = (short, int(short * height / width))
  else:
    resized = (int(short * width / height), short)
  image = image.convert('RGB').resize(resized, Resampling.BICUBIC)
  left = round((resized[0] - size) / 2)
  top = round((resized[1] - size) / 2)
  return image.crop((left, top, left + size, top + size))


def resize_as_tensorflow(image: Image, *, size: int) -> np.ndarray:
  """A square of `size`, bicubic as in `tf.image.resize`: float32 [S, S, 3].

  Unlike PIL's it always takes four pixels, whatever the scale (no
  anti-aliasing), and its values are neither rounded nor clamped: they overshoot
  [0, 255] at sharp edges.
  """
  pixels = np.asarray(image)
  height, width = pixels.shape[:2]
  rows = _bicubic(height, size) @ pixels.reshape(height, -1).astype(np.float32)
  # The same along the other axis: numpy is slow where it picks columns.
  columns = np.ascontiguousarray(rows.reshape(size, width, 3).swapaxes(0, 1))
  columns = _bicubic(width, size) @ columns.reshape(width, -1)
  return np.ascontiguousarray(columns.reshape(size, size, 3).swapaxes(0, 1))


@functools.lru_cache(maxsize=1024)
def _bicubic(length: int, size: int):
  """`_bicubic_taps` as a sparse matrix [size, length]."""
  import scipy.sparse  # it takes a while, and most recipes do without

  places, weights = _bicubic_taps(length, size)
  starts = np.arange(0, 4 * size + 1, 4, dtype=np.int32)
  taps = weights.T.ravel(), places.T.ravel().astype(np.int32), starts
  return scipy.sparse.csr_array(taps, shape=(size, length))


def _bicubic_taps(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
  """The 4 inputs of each output and their weights: [4, size] each.

  Keys' kernel with a = -1/2; what lies outside the image weighs nothing.
  """
  centres = (np.arange(size) + 0.5) * length / size - 0.5
  places = np.floor(centres) + np.arange(-1, 3)[:, None]
  x = np.abs(places - centres)
  near = (1.5 * x - 2.5) * x**2 + 1
  far = ((-0.5 * x + 2.5) * x - 4) * x + 2
  weights = np.where(x <= 1, near, far)
  weights *= (places >= 0) & (places < length)
  weights /= weights.sum(axis=0)
  places = np.clip(places, 0, length - 1).astype(np.int64)
  return places, weights.astype(np.float32)


def normalize(
  image: Image | np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> np.ndarray:
  """(pixels / 255 - mean) / std, float32 [H, W, C]."""
  pixels = np.asarray(image)
  height, width = pixels.shape[:2]
  # Whole rows at once: numpy is slow where the last axis is short.
  scale, bias = _row_scale_and_bias(mean, std, width)
  rows = pixels.reshape(height, -1) * scale
  rows += bias
  return rows.reshape(height, width, len(mean))


@functools.lru_cache
def _row_scale_and_bias(mean, std, width) -> tuple[np.ndarray, np.ndarray]:
  mean, std = np.float64(mean), np.float64(std)
  scale, bias = 1 / (255 * std), -mean / std
  return tuple(np.tile(x, width).astype(np.float32) for x in (scale, bias))

"""What data sets of photographs with depth share."""

import numpy as np
import PIL.Image

from data import image_ops

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def augment(
  image: PIL.Image.Image,
  depth: np.ndarray,
  rng: np.random.Generator,
  crop_size: tuple[int, int],
) -> tuple[PIL.Image.Image, np.ndarray]:
  """A random crop, flip and colours.

  Args:
    image: a photograph of H x W pixels.
    depth: [H, W], or [H, W, ...] with what else belongs to the pixels.
    rng: what to draw from.
    crop_size: (height, width) of the crop, at most H x W.
  """
  height, width = crop_size
  top = int(rng.integers(depth.shape[0] - height, endpoint=True))
  left = int(rng.integers(depth.shape[1] - width, endpoint=True))
  image = image.crop((left, top, left + width, top + height))
  depth = depth[top : top + height, left : left + width]
  if rng.random() < 0.5:
    image = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
    depth = depth[:, ::-1]
  image = image_ops.color_jitter(
    image, rng, brightness=0.2, contrast=0.2, saturation=0.2
  )
  return image, depth


def row_heights(size: tuple[int, int]) -> np.ndarray:
  """How low each pixel of a photograph is: -1 at the top, 1 at the bottom.

  Args:
    size: (height, width) of the whole photograph.

  Returns:
    float32 [H, W].
  """
  rows = np.linspace(-1, 1, size[0], dtype=np.float32)
  return np.broadcast_to(rows[:, None], size)


def as_example(
  image: PIL.Image.Image, depth: np.ndarray, rows: np.ndarray | None = None
) -> dict[str, np.ndarray]:
  """`image`, normalised, float32 [H, W, 3] and `depth` float32 [H, W].

  `rows` [H, W], if there are any, are the image's last channel.
  """
  pixels = image_ops.normalize(image, _MEAN, _STD)
  if rows is not None:
    pixels = np.concatenate([pixels, rows[..., None]], axis=-1)
  return {'image': pixels, 'depth': np.ascontiguousarray(depth, np.float32)}

"""Objects drawn into an image: outline, tint, box, and a label on its edge.

Shapes: H, W of an image, D objects.
"""

from collections.abc import Sequence

import matplotlib.colors
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from PIL.Image import Resampling

_TINT, _EDGE = 0.4, 0.95  # opacities inside of a mask and on its edge


def draw(
  image: np.ndarray,
  boxes: np.ndarray,
  masks: Sequence[np.ndarray],
  classes: np.ndarray,
  labels: Sequence[str],
  side: int,
) -> np.ndarray:
  """Objects, the first on top.

  Args:
    image: uint8 [H, W, 3].
    boxes: [D, 4], x1, y1, x2, y2 in pixels.
    masks: D of bool [H, W].
    classes: [D] integers, which give the colours.
    labels: D texts, such as 'cat 0.93'.
    side: pixels of the picture's longer side.

  Returns:
    uint8 [H s, W s, 3] for a scale s.
  """
  scale = side / max(image.shape[:2])
  size = tuple(max(1, round(n * scale)) for n in image.shape[1::-1])
  plain = PIL.Image.fromarray(image).resize(size, Resampling.BICUBIC)
  pixels = np.asarray(plain, np.float32)
  for mask, label in list(zip(masks, classes, strict=True))[::-1]:
    mask = PIL.Image.fromarray(np.asarray(mask, np.uint8) * 255)
    mask = np.asarray(mask.resize(size, Resampling.BILINEAR)) > 127
    opacity = np.where(mask & ~_inner(mask, 2), _EDGE, _TINT * mask)[..., None]
    pixels = opacity * color(label) + (1 - opacity) * pixels
  picture = PIL.Image.fromarray(pixels.astype(np.uint8))
  pen = PIL.ImageDraw.Draw(picture)
  font = PIL.ImageFont.load_default(max(10, side // 36))
  for box, label, text in list(zip(boxes, classes, labels, strict=True))[::-1]:
    x1, y1, x2, y2 = (float(v) * scale for v in box)
    ink = tuple(int(v) for v in color(label))
    pen.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=ink, width=2)
    _, _, width, height = pen.textbbox((0, 0), text, font)
    left = max(0, min(x1, size[0] - width - 4))
    top = y1 - height - 3 if y1 >= height + 3 else y1
    pen.rectangle((left, top, left + width + 4, top + height + 3), fill=ink)
    dark = np.dot(ink, (0.299, 0.587, 0.114)) > 140
    pen.text((left + 2, top), text, 'black' if dark else 'white', font)
  return np.asarray(picture)


def color(label: int) -> np.ndarray:
  """[3] in 0 to 255; neighbouring classes are far apart."""
  hsv = (0.02 + int(label) * 0.618034) % 1, 0.8, 0.95 - 0.2 * (int(label) % 2)
  return 255 * matplotlib.colors.hsv_to_rgb(hsv)


def _inner(mask: np.ndarray, width: int) -> np.ndarray:
  """Without its edge: pixels whose neighbours are all the mask's, repeated."""
  for _ in range(width):
    around = np.pad(mask, 1)
    mask = (
      mask
      & (around[:-2, 1:-1] & around[2:, 1:-1])
      & (around[1:-1, :-2] & around[1:-1, 2:])
    )
  return mask

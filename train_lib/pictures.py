"""Tiles, overlays and captions of the pictures that evaluators write.

A picture is a grid of tiles, an image or what is drawn on it, each under its
caption. Its PNG file says itself what it shows (the standard's keywords
Title, Comment and Description), so that tools/report.py finds it.

Shapes: H, W of an image, h, w of a map on it.
"""

import pathlib

import matplotlib
import matplotlib.colors
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.PngImagePlugin
from PIL.Image import Resampling

_CAPTION = 22  # pixels above a tile
_FOR, _AGAINST = np.array([[255, 60, 50], [70, 140, 255]])


def tile(image: np.ndarray, side: int = 128) -> np.ndarray:
  """[H, W, 1 or 3] in any range to uint8, the longer side of `side` pixels."""
  span = np.ptp(image) or 1.0
  shown = ((image - image.min()) / span * 255).astype(np.uint8)
  shown = np.broadcast_to(shown, shown.shape[:2] + (3,))
  height, width = (round(n * side / max(shown.shape)) for n in shown.shape[:2])
  return _resize(shown, (height, width), Resampling.BICUBIC)


def segments(
  plain: np.ndarray, classes: np.ndarray, num_classes: int
) -> np.ndarray:
  """One colour a class: integers [h, w], grey where they are no class.

  The result is as large as `plain`, the tile of an image.
  """
  hues = np.arange(num_classes) * 0.618034 % 1  # neighbours are far apart
  palette = matplotlib.colors.hsv_to_rgb(
    np.stack([hues, np.full(num_classes, 0.65), np.full(num_classes, 0.95)], -1)
  )
  palette = np.concatenate([palette, np.full((1, 3), 0.5)])
  known = (classes >= 0) & (classes < num_classes)
  colors = palette[np.where(known, classes, num_classes)]
  return _resize(
    (colors * 255).astype(np.uint8), plain.shape, Resampling.NEAREST
  )


def heat(plain: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Weights [h, w], 0 or above, as a glow on the tile of an image."""
  colors = matplotlib.colormaps['inferno'](weights / weights.max())[:, :, :3]
  colors = (colors * 255).astype(np.uint8)
  glow = _resize(colors, plain.shape, Resampling.BICUBIC)
  return (0.6 * glow + 0.4 * plain).astype(np.uint8)


def signed_heat(
  plain: np.ndarray, weights: np.ndarray, largest: float
) -> np.ndarray:
  """Weights [h, w] on the tile of an image: for in red, against in blue.

  Args:
    plain: the tile.
    weights: of any sign.
    largest: the magnitude of the full colour.
  """
  share = (weights / (largest or 1.0)).astype(np.float32)
  share = _resize(share, plain.shape, Resampling.BILINEAR)[..., None]
  opacity = 0.9 * np.abs(share).clip(0, 1) ** 0.7
  color = np.where(share > 0, _FOR, _AGAINST)
  return (opacity * color + (1 - opacity) * plain).astype(np.uint8)


def captioned(pixels: np.ndarray, caption: str) -> np.ndarray:
  """A tile with a white margin and its caption above."""
  height, width = pixels.shape[:2]
  picture = PIL.Image.new('RGB', (width + 4, height + _CAPTION), 'white')
  picture.paste(PIL.Image.fromarray(pixels), (2, _CAPTION - 2))
  font = PIL.ImageFont.load_default(14)
  PIL.ImageDraw.Draw(picture).text((3, 2), caption, 'black', font)
  return np.asarray(picture)


def grid(rows: list[list[np.ndarray]]) -> PIL.Image.Image:
  """Rows of captioned tiles; short ones are filled up with white."""
  width = max(len(row) for row in rows)
  white = np.full_like(rows[0][0], 255)
  return PIL.Image.fromarray(
    np.concatenate(
      [np.concatenate(row + [white] * (width - len(row)), 1) for row in rows]
    )
  )


def save(
  picture: PIL.Image.Image,
  path: pathlib.Path,
  *,
  title: str,
  comment: str,
  description: str,
) -> None:
  """Writes a PNG that says what it shows.

  Args:
    picture: what to write.
    path: of the file, whose folder is made if it does not exist.
    title: the same for all pictures of an evaluator.
    comment: likewise, how to read them.
    description: this picture's own.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  info = PIL.PngImagePlugin.PngInfo()
  for keyword, text in (
    ('Title', title),
    ('Comment', comment),
    ('Description', description),
  ):
    info.add_text(keyword, text)
  picture.save(path, pnginfo=info)


def _resize(pixels, shape, resampling):
  picture = PIL.Image.fromarray(pixels)
  return np.asarray(picture.resize((shape[1], shape[0]), resampling))

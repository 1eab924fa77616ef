"""The pictures that evaluators write: tiles, overlays, captions, and albums.

A picture is a grid of tiles, an image or what is drawn on it, each under its
caption. Those of an evaluator are in a folder of its own, an album. A file says
itself what it shows: PNG by the standard's keywords Title, Comment and
Description, SVG by the elements title, metadata and desc.

Shapes: H, W of an image, h, w of a map on it.
"""

import colorsys
import html
import io
import pathlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import jax
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import PIL.PngImagePlugin
from PIL.Image import Resampling

from train_lib import places

if TYPE_CHECKING:  # Matplotlib is an extra: runs without pictures do without.
  from matplotlib.figure import Figure

_KEYWORDS = ('Title', 'Comment', 'Description')  # of PNG
_ELEMENTS = ('title', 'metadata', 'desc')  # of SVG
_NAME = re.compile(r'(\d+)_(\d+)\.(?:png|svg)')
_CAPTION = 22  # pixels above a tile
_DIMMED = 0.45  # what is left of an image under clusters
_FOR, _AGAINST = np.array([[255, 60, 50], [70, 140, 255]])


def tile(image: np.ndarray, side: int = 128) -> np.ndarray:
  """[H, W, 1 or 3] in any range to uint8, the longer side of `side` pixels."""
  span = np.ptp(image) or 1.0
  shown = ((image - image.min()) / span * 255).astype(np.uint8)
  shown = np.broadcast_to(shown, shown.shape[:2] + (3,))
  height, width = (round(n * side / max(shown.shape)) for n in shown.shape[:2])
  return _resize(shown, (height, width), Resampling.BICUBIC)


def enlarged(pixels: np.ndarray, width: int = 160) -> np.ndarray:
  """[H, W, C], every pixel a square: as few times as large as is so wide."""
  times = -(-width // pixels.shape[1])
  return pixels.repeat(times, axis=0).repeat(times, axis=1)


def segments(
  plain: np.ndarray, classes: np.ndarray, num_classes: int
) -> np.ndarray:
  """One colour a class: integers [h, w], grey where they are no class.

  The result is as large as `plain`, the tile of an image.
  """
  known = (classes >= 0) & (classes < num_classes)
  colors = palette(num_classes)[np.where(known, classes, num_classes)]
  return _resize(colors, plain.shape, Resampling.NEAREST)


def palette(num_classes: int) -> np.ndarray:
  """Colours uint8 [num_classes + 1, 3], the last a grey for what is none."""
  colors = []
  for i in range(num_classes):  # Neighbours are far apart.
    colors.append(colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.65, 0.95))
  return (np.array([*colors, (0.5, 0.5, 0.5)]) * 255).astype(np.uint8)


def legend(
  colors: np.ndarray, names: Iterable[str], width: int = 784
) -> PIL.Image.Image:
  """Squares, each before its name, in as many lines as it takes.

  Args:
    colors: uint8 [K, 3].
    names: K of them.
    width: of the legend in pixels.
  """
  font = PIL.ImageFont.load_default(14)
  left, top, placed = 0, 0, []
  for color, name in zip(colors, names, strict=True):
    needed = _CAPTION + 12 + round(font.getlength(name))
    if left and left + needed > width:
      left, top = 0, top + _CAPTION
    placed.append((left, top, tuple(color.tolist()), name))
    left += needed
  picture = PIL.Image.new('RGB', (width, top + _CAPTION), 'white')
  pen = PIL.ImageDraw.Draw(picture)
  for left, top, color, name in placed:
    square = (left + 2, top + 4, left + _CAPTION - 8, top + _CAPTION - 8)
    pen.rectangle(square, color)
    pen.text((left + _CAPTION - 2, top + 2), name, 'black', font)
  return picture


def stacked(parts: Iterable[PIL.Image.Image]) -> PIL.Image.Image:
  """One below the other; narrow ones are filled up with white."""
  parts = list(parts)
  size = max(x.width for x in parts), sum(x.height for x in parts)
  picture = PIL.Image.new('RGB', size, 'white')
  top = 0
  for part in parts:
    picture.paste(part, (0, top))
    top += part.height
  return picture


def clusters(plain: np.ndarray, assignment: np.ndarray) -> np.ndarray:
  """Where the clusters of an assignment [M, h, w] look, on an image's tile.

  A place has the colour of the cluster (`palette`) whose weight there is the
  largest beside its own maximum, as bright as that share: what no cluster
  reads stays grey.
  """
  shares = assignment / assignment.max(axis=(1, 2), keepdims=True)
  colors = palette(len(assignment))[shares.argmax(axis=0)]
  colors = _resize(colors, plain.shape, Resampling.NEAREST)
  share = (shares.max(axis=0) * 255).astype(np.uint8)
  share = _resize(share, plain.shape, Resampling.NEAREST)[..., None] / 255
  # The brightest channel: coloured ink stays visible.
  grey = _DIMMED * plain.max(axis=-1, keepdims=True)
  return (share * colors + (1 - share) * grey).astype(np.uint8)


def heat(plain: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """Weights [h, w], 0 or above, as a glow on the tile of an image."""
  import matplotlib

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


def of_figure(figure: 'Figure') -> PIL.Image.Image:
  """What Matplotlib draws, at 80 dots an inch."""
  file = io.BytesIO()
  figure.savefig(file, format='png', dpi=80)
  return PIL.Image.open(file).convert('RGB')


Picture = PIL.Image.Image | str  # PNG, or SVG as its text


class Album:
  """An evaluator's pictures, `folder`/<step>_<number>.png or .svg."""

  def __init__(self, folder: pathlib.Path, title: str, comment: str = ''):
    """Nothing is written yet.

    Args:
      folder: the evaluator's own.
      title: the same for all pictures.
      comment: likewise, how to read them.
    """
    self._folder, self._title, self._comment = folder, title, comment

  def path(self, step: int, number: int, suffix: str) -> pathlib.Path:
    """Of a file of this album, whose folder is made if it does not exist."""
    self._folder.mkdir(parents=True, exist_ok=True)
    return self._folder / f'{step:07d}_{number}{suffix}'

  def write(self, step: int, pictures: Iterable[tuple[Picture, str]]) -> None:
    """Writes on process 0; elsewhere it does not even draw.

    Args:
      step: of the state that they are of.
      pictures: each with a description, '' for none.
    """
    if jax.process_index():
      return
    count = 0
    for picture, description in pictures:
      texts = self._title, self._comment, description
      if isinstance(picture, str):
        path = self.path(step, count, '.svg')
        path.write_text(_with_texts(picture, texts), encoding='utf-8')
      else:
        info = PIL.PngImagePlugin.PngInfo()
        for keyword, text in zip(_KEYWORDS, texts, strict=True):
          info.add_text(keyword, text)
        picture.save(self.path(step, count, '.png'), pnginfo=info)
      count += 1
    if count:
      print(f'{count} pictures in {places.shown(self._folder)}', flush=True)


def folder_of(workdir: str | pathlib.Path, evaluator: str) -> pathlib.Path:
  """Where the evaluator of that name in the config has its pictures."""
  return pathlib.Path(workdir) / 'pictures' / evaluator


def by_step(folder: pathlib.Path) -> dict[int, list[pathlib.Path]]:
  """The pictures of an album, step -> files by number."""
  found = {}
  for path in folder.iterdir() if folder.is_dir() else ():
    match = _NAME.fullmatch(path.name)
    if match:
      found.setdefault(int(match[1]), []).append((int(match[2]), path))
  return {step: [p for _, p in sorted(x)] for step, x in found.items()}


def step_of(name: str) -> int | None:
  """The step of a file of an album, None if it is none."""
  match = _NAME.fullmatch(name)
  return int(match[1]) if match else None


def texts(path: pathlib.Path) -> dict[str, str]:
  """Title, Comment and Description of a file, those that it has."""
  if path.suffix == '.svg':
    root = ElementTree.parse(path).getroot()
    found = {}
    for keyword, tag in zip(_KEYWORDS, _ELEMENTS, strict=True):
      element = root.find(f'{{*}}{tag}')
      if element is not None and element.text:
        found[keyword] = element.text
    return found
  with PIL.Image.open(path) as picture:
    return {k: picture.info[k] for k in _KEYWORDS if k in picture.info}


def size(path: pathlib.Path) -> tuple[int, int]:
  """Width and height of a file in pixels."""
  if path.suffix == '.svg':
    root = ElementTree.parse(path).getroot()
    return round(float(root.get('width'))), round(float(root.get('height')))
  with PIL.Image.open(path) as picture:
    return picture.size


def _with_texts(svg: str, texts: Iterable[str]) -> str:
  elements = ''.join(
    f'<{tag}>{html.escape(text)}</{tag}>'
    for tag, text in zip(_ELEMENTS, texts, strict=True)
  )
  start = re.search(r'<svg[^>]*>', svg).end()
  return svg[:start] + elements + svg[start:]


def _resize(pixels, shape, resampling):
  picture = PIL.Image.fromarray(pixels)
  return np.asarray(picture.resize((shape[1], shape[0]), resampling))

"""What answers are made of, as JSON: pictures as data URLs, maps as bytes.

Shapes: M clusters or N latents, h, w of a map.
"""

import base64
import io
from typing import Any

import numpy as np
import PIL.Image

from perceiver_io.evaluators import attention_maps
from train_lib import pictures

_NUM_LATENTS = 8  # shown, those that read the fewest inputs
_SEEN_SIDE = 256
_LARGEST_SIDE_OF_MAPS = 256


def layer(name: str, maps: np.ndarray, **more: Any) -> dict[str, Any]:
  """Maps [M, h, w], 0 or above, as bytes that are shares of their largest."""
  largest = maps.max(axis=(1, 2))
  shares = maps / np.maximum(largest, 1e-30)[:, None, None]
  data = np.round(255 * shares).astype(np.uint8).tobytes()
  return {
    'name': name,
    'shape': list(maps.shape),
    'data': as_text(data),
    'largest': [float(f'{x:.3g}') for x in largest],
    **more,
  }


def latents(maps: np.ndarray) -> list[dict[str, Any]]:
  """Two layers of maps [N, h, w]: all latents together, and a few alone."""
  flat = maps.reshape(len(maps), -1)
  chosen = np.argsort(attention_maps.inputs_read(flat))[:_NUM_LATENTS]
  return [
    layer('all latents together', maps.mean(axis=0, keepdims=True)),
    layer(
      f'the {len(chosen)} latents that read the fewest inputs',
      maps[chosen],
      numbers=chosen.tolist(),
    ),
  ]


def on_grid(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
  """Weights [M, inputs] as [M, h, w]; None if inputs are no grid over images.

  Args:
    weights: of each input.
    shape: H, W, C of the image.
  """
  height, width = shape[:2]
  step = round((height * width / weights.shape[1]) ** 0.5)
  grid = height // max(step, 1), width // max(step, 1)
  fits = grid[0] * grid[1] == weights.shape[1]
  if not fits or max(grid) > _LARGEST_SIDE_OF_MAPS:
    return None
  return weights.reshape(-1, *grid)


def seen(image: np.ndarray) -> str:
  """The picture [H, W, C] as the model saw it."""
  return png(PIL.Image.fromarray(pictures.tile(image, _SEEN_SIDE)))


def rounded(x: np.ndarray) -> list[float]:
  return [round(float(value), 5) for value in np.ravel(x)]


def png(picture: PIL.Image.Image) -> str:
  file = io.BytesIO()
  picture.convert('RGB').save(file, 'png', compress_level=1)
  return url('image/png', file.getvalue())


def url(kind: str, held: bytes) -> str:
  return f'data:{kind};base64,{as_text(held)}'


def as_text(held: bytes) -> str:
  return base64.b64encode(held).decode('ascii')

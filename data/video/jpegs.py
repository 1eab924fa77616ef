"""Frames as they are kept: the bytes of JPEG files.

Letters: T frames, H and W height and width.
"""

import io
from collections.abc import Iterable, Sequence

import numpy as np
import PIL.Image


def encode(frame: np.ndarray) -> bytes:
  """The file of a frame uint8 [H, W, 3]."""
  file = io.BytesIO()
  PIL.Image.fromarray(frame).save(file, 'JPEG', quality=92)
  return file.getvalue()


def encode_all(frames: Iterable[np.ndarray]) -> list[bytes]:
  """Those of frames; of the same array again the same file."""
  files, last = [], None
  for frame in frames:
    files.append(files[-1] if frame is last else encode(frame))
    last = frame
  return files


def decode(file: bytes, size: int) -> np.ndarray:
  """uint8 [size, size, 3], by averages over areas."""
  image = PIL.Image.open(io.BytesIO(file))
  if image.size != (size, size):
    image = image.resize((size, size), PIL.Image.Resampling.BOX)
  return np.asarray(image)


def window(
  video: Sequence[bytes], start: int, stride: int, num: int, size: int
) -> np.ndarray:
  """Every so many frames: uint8 [num, size, size, 3].

  The first and the last stand still outside. Where the picture stands still it
  is decoded once.
  """
  places = start + stride * np.arange(num)
  files = [video[i] for i in np.clip(places, 0, len(video) - 1).tolist()]
  frames = {file: decode(file, size) for file in set(files)}
  return np.stack([frames[file] for file in files])


def crop(
  frames: np.ndarray, image_size: int, rng: np.random.Generator | None
) -> np.ndarray:
  """A square of the frames, all alike: uint8 [T, image_size, image_size, 3].

  Args:
    frames: uint8 [T, H, W, 3], somewhat larger.
    image_size: of the square, in their middle.
    rng: what place, a mirror image and brightness are drawn from; None for
      none of it.
  """
  margin = frames.shape[1] - image_size
  top = left = margin // 2
  brightness = 1.0
  if rng is not None:
    top, left = rng.integers(margin, size=2, endpoint=True)
    brightness = rng.uniform(0.7, 1.3)
    if rng.random() < 0.5:
      frames = frames[:, :, ::-1]
  frames = frames[:, top : top + image_size, left : left + image_size]
  return np.clip(frames * brightness, 0, 255).astype(np.uint8)

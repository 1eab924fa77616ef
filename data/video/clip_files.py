"""A clip as it is kept: pictures as JPEG files and sound, or one of them."""

from typing import Any

import numpy as np

from data.tables import Part
from data.video import jpegs


def read(part: Part, *, fps: int, size: int, rate: int) -> dict[str, Any]:
  """`video`, JPEG files, and `audio` int16 [samples]; one may be empty.

  Args:
    part: of a file.
    fps, size: of the pictures, see `media.read_frames`.
    rate: samples a second.

  Raises:
    ValueError: naming the file, which has neither or is broken.
  """
  from data.video import media  # an optional extra

  video, audio = read_pictures(part, fps=fps, size=size), np.zeros(0, np.int16)
  path, start, end = part
  try:
    audio = media.read_audio(str(path), rate=rate, start=start, end=end)
  except media.NoTrackError as e:
    if not video:
      message = f'{part}: found neither pictures nor sound.'
      raise media.MediaError(message) from e
  return {'video': video, 'audio': audio}


def read_pictures(part: Part, *, fps: int, size: int) -> list[bytes]:
  """JPEG files; none of a file without pictures.

  Raises:
    ValueError: naming the file, which is broken.
  """
  from data.video import media

  path, start, end = part
  frames = media.read_frames(
    str(path), fps=fps, size=size, start=start, end=end
  )
  try:
    return jpegs.encode_all(frames)
  except media.NoTrackError:
    return []


def fit_sound(clip: dict[str, Any], samples_per_frame: int) -> dict[str, Any]:
  """Cuts `audio`, or fills it up with silence, to as long as `video`; what a
  clip lacks stays empty."""
  video, audio = clip['video'], clip['audio']
  if not len(video) or not len(audio):
    return clip
  num_samples = len(video) * samples_per_frame
  audio = audio[:num_samples]
  return clip | {'audio': np.pad(audio, (0, num_samples - len(audio)))}


def num_frames(clip: dict[str, Any], samples_per_frame: int) -> int:
  """Of its pictures or, without, as many as its sound lasts."""
  return len(clip['video']) or len(clip['audio']) // samples_per_frame

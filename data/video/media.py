"""Video and sound of any file that FFmpeg reads, through PyAV (extra `media`).

Times count from the start of the file, so that picture and sound of one file
fit together whichever of them begins first. Pictures are as a player shows
them: turned as the file says, pixels square.

A truncated file is an error where its format tells: MP4, MKV and WebM store
their duration, of AVI and MPEG what is left counts as all.

Letters: T frames, H and W height and width, S samples.
"""

import fractions
import itertools
import math
from collections.abc import Iterable, Iterator

import av
import numpy as np

from data.video import decoding
from data.video.decoding import MediaError, NoTrackError

__all__ = [
  'MediaError',
  'NoTrackError',
  'read_audio',
  'read_frames',
  'read_rate',
  'read_video',
  'write_video',
]
# Seconds in which nothing comes, before a time stamp counts as wrong: a single
# one would fill any memory.
_MAX_GAP = 120.0


def read_rate(path: str) -> fractions.Fraction:
  """Frames a second of a file's pictures.

  Raises:
    MediaError: it has none, or cannot be opened.
  """
  with decoding.naming(path), decoding.opened(path) as container:
    rate = decoding.track_of(container, 'video').average_rate
    return rate or fractions.Fraction(25)


def read_video(
  path: str,
  *,
  fps: float | fractions.Fraction,
  size: int,
  start: float = 0.0,
  end: float | None = None,
) -> np.ndarray:
  """All that `read_frames` yields: uint8 [T, size, size, 3]."""
  frames = read_frames(path, fps=fps, size=size, start=start, end=end)
  return np.stack(list(frames))


def read_frames(
  path: str,
  *,
  fps: float | fractions.Fraction,
  size: int | None,
  start: float = 0.0,
  end: float | None = None,
) -> Iterator[np.ndarray]:
  """Decodes the central square of a video at a constant frame rate.

  Each output frame is the one on display at its time, rounded as FFmpeg's
  `fps` filter does; a file of that rate keeps its frames.

  Args:
    path: of the file.
    fps: frames a second, whatever the file's.
    size: side of the square in pixels; the short side is scaled to it. None:
      the whole picture at its own size.
    start: of the part that is wanted, in seconds.
    end: of the part; None for the file's.

  Yields:
    uint8 [size, size, 3], RGB; the same array again where it stands still.

  Raises:
    MediaError: for a file that is missing, damaged, truncated or no video.
  """
  shown, picture, stop, count = None, None, start, 0
  with decoding.naming(path):
    for new in decoding.decode(path, 'video', start, end):
      if new.begin - stop > _MAX_GAP:
        raise MediaError(
          f'a picture at {new.begin:.1f} seconds follows none since '
          f'{stop:.1f}, expected {_MAX_GAP:g} seconds between them at most'
        )
      while count < _nearest((new.begin - start) * fps):
        if picture is None:
          picture = _as_shown(shown or new, size)
        yield picture
        count += 1
      shown, picture, stop = new, None, new.end
    stop = stop if end is None else min(stop, end)
    while count < max(_nearest((stop - start) * fps), 1):
      if picture is None:
        picture = _as_shown(shown, size)
      yield picture
      count += 1


def read_audio(
  path: str, *, rate: int, start: float = 0.0, end: float | None = None
) -> np.ndarray:
  """Decodes sound, mixed down to one channel and resampled.

  Args:
    path: of the file.
    rate: samples a second, whatever the file's.
    start: of the part that is wanted, in seconds.
    end: of the part; None for the file's.

  Returns:
    int16 [S]; silence where the sound begins later than the part.

  Raises:
    NoTrackError: there is no sound.
    MediaError: for a file that is missing, damaged or truncated.
  """
  # To integers FFmpeg mixes channels without clipping, to floats it does not.
  resampler = av.AudioResampler(format='s16', layout='mono', rate=rate)
  pieces, lead = [], None
  with decoding.naming(path):
    for frame, begin, _, _ in decoding.decode(path, 'audio', start, end):
      if lead is None:
        lead = _nearest((begin - start) * rate)
        if lead > _MAX_GAP * rate:
          raise MediaError(
            f'its sound begins after {begin:.1f} seconds, expected it within '
            f'{_MAX_GAP:g}'
          )
      if frame.format.name.startswith(('flt', 'dbl')):
        if not np.isfinite(frame.to_ndarray()).all():
          raise MediaError('its sound has what is no number')
      pieces += resampler.resample(frame)
    pieces += resampler.resample(None)
  audio = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
  audio = np.pad(audio, (max(lead, 0), 0))[max(-lead, 0) :]
  return audio if end is None else audio[: _nearest((end - start) * rate)]


def write_video(
  path: str,
  video: Iterable[np.ndarray],
  *,
  fps: float | fractions.Fraction,
  audio: np.ndarray | None = None,
  rate: int = 48_000,
) -> None:
  """Writes an MP4 file, H.264 and AAC, which every browser plays.

  Args:
    path: of the file.
    video: uint8 [T, H, W, 3], or T frames one by one; H and W even, as H.264
      needs.
    fps: frames a second.
    audio: int16 [S]; None for none.
    rate: samples a second.
  """
  video = iter(video)
  first = next(video)
  height, width = first.shape[:2]
  if height % 2 or width % 2:
    raise ValueError(
      f'video: found frames of {height} x {width}, expected even sides.'
    )
  with av.open(path, 'w') as container:
    pictures = container.add_stream('libx264', rate=fps, options={'crf': '15'})
    pictures.height, pictures.width = height, width
    pictures.pix_fmt = 'yuv420p'
    streams = [pictures]
    if audio is not None:
      # AAC knows few rates; PyAV resamples to the stream's.
      streams.append(container.add_stream('aac', rate=48_000, layout='mono'))
    for picture in itertools.chain([first], video):
      frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
      container.mux(pictures.encode(frame))
    if audio is not None:
      frame = av.AudioFrame.from_ndarray(audio[None], 's16', 'mono')
      # With a time the encoder's delay is told to players, else it is heard.
      frame.sample_rate, frame.pts = rate, 0
      container.mux(streams[1].encode(frame))
    for stream in streams:
      container.mux(stream.encode(None))


def _as_shown(shown: decoding.Frame, size: int | None) -> np.ndarray:
  """uint8 [size, size, 3], upright: the short side is scaled to `size`; or the
  whole picture."""
  frame = shown.frame
  wide = frame.width * shown.aspect
  scale = 1.0 if size is None else size / min(frame.height, wide)
  height = max(_nearest(frame.height * scale), size or 1)
  width = max(_nearest(wide * scale), size or 1)
  picture = frame.to_ndarray(
    format='rgb24', width=width, height=height, interpolation='AREA'
  )
  if size is not None:
    top, left = (height - size) // 2, (width - size) // 2
    picture = picture[top : top + size, left : left + size]
  turns = _nearest(frame.rotation / 90) % 4  # to the left
  return np.rot90(picture, turns) if turns else picture


def _nearest(x: float) -> int:
  """Rounds halves up: `round` takes them to the even side."""
  return math.floor(x + 0.5)

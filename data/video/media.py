"""Video and sound of any file that FFmpeg reads, through PyAV (extra `media`).

Times count from the start of the file, so that picture and sound of one file
fit together whichever of them begins first. Pictures are as a player shows
them: turned as the file says, pixels square.

A truncated file is an error where its format tells: MP4, MKV and WebM store
their duration, of AVI and MPEG what is left counts as all.

Letters: T frames, H and W height and width, S samples.
"""

import contextlib
import fractions
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av
import numpy as np
from av.stream import Disposition

# Formats that store no duration, for which FFmpeg guesses one.
_NO_DURATION = ('aac', 'mp3')
# A playlist that poses as a film opens no other file of the net's.
_OPTIONS = {'protocol_whitelist': 'file'}
_MAX_MISSING = 0.5  # seconds, of a file that counts as complete
# Seconds in which nothing comes, before a time stamp counts as wrong: a single
# one would fill any memory.
_MAX_GAP = 120.0


class MediaError(ValueError):
  """A file that cannot be read to its end; the message names it."""


class NoTrackError(MediaError):
  """There are no pictures, or there is no sound, where they are asked for."""


class _Frame(NamedTuple):
  """A decoded frame, and when it is, in seconds.

  `aspect` is the width of a pixel by its height.
  """

  frame: av.frame.Frame
  begin: float
  end: float
  aspect: float


def read_rate(path: str) -> fractions.Fraction:
  """Frames a second of a file's pictures.

  Raises:
    MediaError: it has none, or cannot be opened.
  """
  with _naming(path), av.open(path, options=_OPTIONS) as container:
    return _track(container, 'video').average_rate or fractions.Fraction(25)


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
  with _naming(path):
    for new in _decode(path, 'video', start, end):
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
  with _naming(path):
    for frame, begin, _, _ in _decode(path, 'audio', start, end):
      if lead is None:
        lead = _nearest((begin - start) * rate)
        if lead > _MAX_GAP * rate:
          raise MediaError(
            f'its sound begins after {begin:.1f} seconds, expected it within '
            f'{_MAX_GAP:g}'
          )
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


def _decode(
  path: str, kind: str, start: float, end: float | None
) -> Iterator[_Frame]:
  """Yields what the first track of a kind has from `start` to `end`."""
  place, first = max(start - 0.5, 0), None
  frames = _decode_from(path, kind, place, end)
  with contextlib.suppress(*[NoTrackError] if place else []):
    first = next(frames)
  # Not every format can be entered in its middle.
  if place and (
    first is None or first.frame.time is None or first.begin > start
  ):
    frames = _decode_from(path, kind, 0, end)
    first = next(frames)
  yield first
  yield from frames


def _decode_from(path, kind, place: float, stop) -> Iterator[_Frame]:
  with av.open(path, options=_OPTIONS) as container:
    track = _track(container, kind)
    track.thread_type = 'AUTO'
    aspect = float(getattr(track, 'sample_aspect_ratio', None) or 1)
    first = (container.start_time or 0) / av.time_base
    if place:
      with contextlib.suppress(av.FFmpegError):
        container.seek(int((place + first) * av.time_base))
    reached, end = 0.0, None
    for packet in container.demux():
      if packet.pts is not None:
        packet_end = (packet.pts + (packet.duration or 0)) * packet.time_base
        reached = max(reached, float(packet_end) - first)
      if packet.stream_index != track.index:
        continue
      if packet.is_corrupt:
        raise MediaError(f'a packet of its {kind} track is damaged')
      for frame in packet.decode():
        begin = end or 0.0 if frame.time is None else frame.time - first
        if stop is not None and begin >= stop:
          if end is None:
            raise NoTrackError(f'its {kind} begins after {stop:g} seconds')
          return
        end = begin + _duration(frame, track)
        yield _Frame(frame, begin, end, aspect)
    declared = (container.duration or 0) / av.time_base
    if (
      container.format.name not in _NO_DURATION
      and declared - reached > _MAX_MISSING
    ):
      raise MediaError(
        f'truncated: found {reached:.1f} of {declared:.1f} seconds'
      )
    if stop is not None and stop - reached > _MAX_MISSING:
      raise MediaError(
        f'lasts {reached:.1f} seconds, expected a part up to {stop:g}'
      )
    if end is None:
      raise NoTrackError(f'its {kind} track is empty')


def _track(container, kind: str) -> av.stream.Stream:
  tracks = [
    track
    for track in getattr(container.streams, kind)
    if not track.disposition & Disposition.attached_pic  # an album's cover
  ]
  if not tracks:
    raise NoTrackError(f'found no {kind} track')
  return tracks[0]


def _duration(frame, track) -> float:
  if isinstance(frame, av.AudioFrame):
    return frame.samples / frame.sample_rate
  if frame.duration:
    return float(frame.duration * frame.time_base)
  return float(1 / track.average_rate) if track.average_rate else 0.0


def _as_shown(shown: _Frame, size: int | None) -> np.ndarray:
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


@contextlib.contextmanager
def _naming(path: str):
  """Turns what PyAV and the functions above raise into a named MediaError."""
  try:
    yield
  except av.FFmpegError as e:
    raise MediaError(f'{path}: {e.strerror}.') from e
  except NoTrackError as e:
    raise NoTrackError(f'{path}: {e}.') from e
  except ValueError as e:  # the resampler's, of a track that changes its format
    raise MediaError(f'{path}: {e}.') from e

"""Decoding files of video and sound by FFmpeg, frame by frame; see `media`."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import av
from av.stream import Disposition

# Formats that store no duration, for which FFmpeg guesses one.
_NO_DURATION = ('aac', 'mp3')
# FFmpeg's readers of what users have. Others open further files, such as those
# of a playlist that poses as a film.
_FORMATS = (
  *('mov', 'matroska', 'avi', 'mpeg', 'mpegvideo', 'mpegts', 'ogg', 'flv'),
  *('asf', 'wav', 'w64', 'flac', 'mp3', 'aac', 'aiff', 'gif'),
)
_OPTIONS = {
  'protocol_whitelist': 'file',
  'format_whitelist': ','.join(_FORMATS),
}
_MAX_MISSING = 0.5  # seconds, of a file that counts as complete


class MediaError(ValueError):
  """A file that cannot be read to its end; the message names it."""


class NoTrackError(MediaError):
  """There are no pictures, or there is no sound, where they are asked for."""


class Frame(NamedTuple):
  """A decoded frame, and when it is, in seconds.

  `aspect` is the width of a pixel by its height.
  """

  frame: av.frame.Frame
  begin: float
  end: float
  aspect: float


def decode(
  path: str, kind: str, start: float, end: float | None
) -> Iterator[Frame]:
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


def opened(path: str) -> av.container.InputContainer:
  """A file of the formats that are meant; a context.

  Raises:
    MediaError: it is of another.
  """
  try:
    return av.open(path, options=dict(_OPTIONS))
  except av.error.ArgumentError as e:
    raise MediaError('expected video or sound, found another kind') from e


def _decode_from(path, kind, place: float, stop) -> Iterator[Frame]:
  with opened(path) as container:
    track = track_of(container, kind)
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
        yield Frame(frame, begin, end, aspect)
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


def track_of(container, kind: str) -> av.stream.Stream:
  """The first track of a kind; NoTrackError if there is none."""
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


@contextlib.contextmanager
def naming(path: str):
  """Turns what PyAV and the functions above raise into a named MediaError."""
  try:
    yield
  except (av.EOFError, av.InvalidDataError) as e:
    raise MediaError(
      f'{path}: expected video or sound, found a file that is cut off, '
      f'damaged, or neither ({e.strerror}).'
    ) from e
  except av.FFmpegError as e:
    raise MediaError(f'{path}: {e.strerror}.') from e
  except NoTrackError as e:
    raise NoTrackError(f'{path}: {e}.') from e
  except ValueError as e:  # the resampler's, of a track that changes its format
    raise MediaError(f'{path}: {e}.') from e

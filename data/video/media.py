"""Video and sound of any file that FFmpeg reads, through PyAV (extra `media`).

Times count from the start of the file, so that picture and sound of one file
fit together whichever of them begins first.

A truncated file is an error where its format tells: MP4, MKV and WebM store
their duration, of AVI and MPEG what is left counts as all.

Letters: T frames, H and W height and width, S samples.
"""

import contextlib
import math
from collections.abc import Iterator

import av
import numpy as np

# Formats that store no duration, for which FFmpeg guesses one.
_NO_DURATION = ('aac', 'mp3')
_MAX_MISSING = 0.5  # seconds, of a file that counts as complete


class MediaError(ValueError):
  """A file that cannot be read to its end; the message names it."""


def read_video(path: str, *, fps: float, size: int) -> np.ndarray:
  """Decodes the central square of a video at a constant frame rate.

  Each output frame is the one on display at its time, rounded as FFmpeg's
  `fps` filter does; a file of that rate keeps its frames.

  Args:
    path: of the file.
    fps: frames a second, whatever the file's.
    size: side of the square in pixels; the short side is scaled to it.

  Returns:
    uint8 [T, size, size, 3], RGB.

  Raises:
    MediaError: for a file that is missing, damaged, truncated or no video.
  """
  video = []

  def show(frame, until):
    if until > len(video):
      video.extend([_central_square(frame, size)] * (until - len(video)))

  with _naming(path):
    shown, stop = None, 0.0
    for frame, begin, end in _decode(path, 'video'):
      show(shown or frame, _nearest(begin * fps))
      shown, stop = frame, end
    show(shown, max(_nearest(stop * fps), 1))
  return np.stack(video)


def read_audio(path: str, *, rate: int) -> np.ndarray:
  """Decodes sound, mixed down to one channel and resampled.

  Args:
    path: of the file.
    rate: samples a second, whatever the file's.

  Returns:
    int16 [S]; silence where the sound begins later than the file.

  Raises:
    MediaError: for a file that is missing, damaged, truncated or without an
      audio track.
  """
  # To integers FFmpeg mixes channels without clipping, to floats it does not.
  resampler = av.AudioResampler(format='s16', layout='mono', rate=rate)
  pieces, lead = [], None
  with _naming(path):
    for frame, begin, _ in _decode(path, 'audio'):
      lead = _nearest(begin * rate) if lead is None else lead
      pieces += resampler.resample(frame)
    pieces += resampler.resample(None)
  audio = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
  return np.pad(audio, (max(lead, 0), 0))[max(-lead, 0) :]


def write_video(
  path: str, video: np.ndarray, *, fps: int, audio: np.ndarray, rate: int
) -> None:
  """Writes an MP4 file, H.264 and AAC, which every browser plays.

  Args:
    path: of the file.
    video: uint8 [T, H, W, 3]; H and W even, as H.264 needs.
    fps: frames a second.
    audio: int16 [S].
    rate: samples a second.
  """
  height, width = video.shape[1:3]
  if height % 2 or width % 2:
    raise ValueError(
      f'video: found frames of {height} x {width}, expected even sides.'
    )
  with av.open(path, 'w') as container:
    pictures = container.add_stream('libx264', rate=fps, options={'crf': '15'})
    pictures.height, pictures.width = height, width
    pictures.pix_fmt = 'yuv420p'
    # AAC knows few rates; PyAV resamples to the stream's.
    sound = container.add_stream('aac', rate=48_000, layout='mono')
    for picture in video:
      frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
      container.mux(pictures.encode(frame))
    frame = av.AudioFrame.from_ndarray(audio[None], 's16', 'mono')
    # With a time the encoder's own delay is told to players, else it is heard.
    frame.sample_rate, frame.pts = rate, 0
    container.mux(sound.encode(frame))
    for stream in pictures, sound:
      container.mux(stream.encode(None))


def _decode(
  path: str, kind: str
) -> Iterator[tuple[av.frame.Frame, float, float]]:
  """Yields (frame, begin, end), in seconds, of the first track of a kind."""
  with av.open(path) as container:
    tracks = getattr(container.streams, kind)
    if not tracks:
      raise MediaError(f'found no {kind} track')
    track = tracks[0]
    track.thread_type = 'AUTO'
    start = (container.start_time or 0) / av.time_base
    reached, end = 0.0, None
    for packet in container.demux():
      if packet.pts is not None:
        packet_end = (packet.pts + (packet.duration or 0)) * packet.time_base
        reached = max(reached, float(packet_end) - start)
      if packet.stream_index != track.index:
        continue
      if packet.is_corrupt:
        raise MediaError(f'a packet of its {kind} track is damaged')
      for frame in packet.decode():
        begin = end or 0.0 if frame.time is None else frame.time - start
        end = begin + _duration(frame, track)
        yield frame, begin, end
    if end is None:
      raise MediaError(f'its {kind} track is empty')
    declared = (container.duration or 0) / av.time_base
    if (
      container.format.name not in _NO_DURATION
      and declared - reached > _MAX_MISSING
    ):
      raise MediaError(
        f'truncated: found {reached:.1f} of {declared:.1f} seconds'
      )


def _duration(frame, track) -> float:
  if isinstance(frame, av.AudioFrame):
    return frame.samples / frame.sample_rate
  if frame.duration:
    return float(frame.duration * frame.time_base)
  return float(1 / track.average_rate) if track.average_rate else 0.0


def _central_square(frame: av.VideoFrame, size: int) -> np.ndarray:
  """Scales the short side to `size`: uint8 [size, size, 3]."""
  scale = size / min(frame.height, frame.width)
  height = max(_nearest(frame.height * scale), size)
  width = max(_nearest(frame.width * scale), size)
  picture = frame.to_ndarray(
    format='rgb24', width=width, height=height, interpolation='AREA'
  )
  top, left = (height - size) // 2, (width - size) // 2
  return picture[top : top + size, left : left + size]


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
  except ValueError as e:  # the resampler's, of a track that changes its format
    raise MediaError(f'{path}: {e}.') from e

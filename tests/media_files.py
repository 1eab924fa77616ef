"""Files of video that tests write."""

import struct

import av
import numpy as np

from data.video import media


def write_silent(path, num_frames=25):
  """Black pictures without a track for sound."""
  write_clip(path, num_frames=num_frames, codec='mpeg4', step=0)


def write_clip(
  path,
  *,
  num_frames=10,
  codec='ffv1',
  pix_fmt='yuv420p',
  size=(32, 48),
  step=20,
):
  """Grey pictures, each lighter than the one before."""
  with av.open(str(path), 'w') as container:
    pictures = container.add_stream(codec, rate=25)
    pictures.height, pictures.width = size
    pictures.pix_fmt = pix_fmt
    for i in range(num_frames):
      grey = np.full((*size, 3), step * i, np.uint8)
      frame = av.VideoFrame.from_ndarray(grey, format='rgb24')
      container.mux(pictures.encode(frame.reformat(format=pix_fmt)))
    container.mux(pictures.encode(None))


def write_moving(path, kind, seconds=1.0, sound=True, seed=0):
  """A square that moves to the 'right' or 'down', and a tone, of 500 Hz or
  1,500 Hz."""
  rng = np.random.default_rng(seed)
  num = round(25 * seconds)
  video = rng.integers(0, 60, (num, 48, 64, 3)).astype(np.uint8)
  for t in range(num):
    x, y = (t % 24 + 16, 20) if kind == 'right' else (28, t % 24 + 10)
    video[t, y : y + 8, x : x + 8] = 230
  times = np.arange(round(48_000 * seconds)) / 48_000
  tone = np.sin(2 * np.pi * (500 if kind == 'right' else 1_500) * times)
  audio = np.int16(8_000 * tone) if sound else None
  media.write_video(str(path), video, fps=25, audio=audio)


def turn(path, degrees):
  """Tells players of an MP4 file to turn it, clockwise."""
  quarters = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
  a, b, c, d = (x << 16 for x in quarters[degrees])
  data = bytearray(path.read_bytes())
  place = data.index(b'tkhd') + 4 + 40  # its matrix
  data[place : place + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
  path.write_bytes(data)

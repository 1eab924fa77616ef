"""Files of video that tests write."""

import av
import numpy as np


def write_silent(path, num_frames=25):
  """Pictures without a track for sound."""
  with av.open(str(path), 'w') as container:
    pictures = container.add_stream('mpeg4', rate=25)
    pictures.height, pictures.width, pictures.pix_fmt = 32, 48, 'yuv420p'
    for _ in range(num_frames):
      frame = av.VideoFrame.from_ndarray(np.zeros((32, 48, 3), np.uint8))
      container.mux(pictures.encode(frame))
    container.mux(pictures.encode(None))

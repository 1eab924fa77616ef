"""How well a flow takes the second frame back to the first."""

import numpy as np

from data.flow import geometry


def photometric_error(frames, motion, valid):
  """Mean difference of the first frame and the second one taken back."""
  height, width = valid.shape
  x, y = np.meshgrid(np.arange(width), np.arange(height))
  ends = np.stack([x, y], axis=-1) + motion
  inside = np.all((ends >= 0) & (ends <= (width - 1, height - 1)), axis=-1)
  known = inside & (valid > 0)
  taken = geometry.bilinear(frames[1], np.clip(ends, 0, None))
  return np.abs(taken - frames[0])[known].mean()

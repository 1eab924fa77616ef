"""Files of optical flow: Middlebury's .flo, KITTI's PNG, colour pictures.

Readers take a file's bytes and its name, which may be that of a member of an
archive, for the error messages. Flow is float32 [H, W, (x, y)] in pixels.
"""

import struct

import numpy as np

_MAGIC = b'PIEH'  # as a little-endian float: 202021.25
_UNKNOWN = 1e9  # a larger flow in a .flo file is unknown (Middlebury)

# Where the pure hues are on Middlebury's wheel of 55 (Baker et al. 2011).
_HUE_PLACES = np.array([0, 15, 21, 25, 36, 49, 55]) / 55
_HUES = np.array(
  [
    [1, 0, 0],
    [1, 1, 0],
    [0, 1, 0],
    [0, 1, 1],
    [0, 0, 1],
    [1, 0, 1],
    [1, 0, 0],
  ]
)


def decode_flo(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
  """Flow and where it is known, uint8 [H, W], of a .flo file.

  Raises:
    ValueError: it is none, or truncated.
  """
  if data[:4] != _MAGIC:
    raise ValueError(
      f'{name}: begins with {data[:4]!r}, expected the {_MAGIC!r} of a .flo '
      'file.'
    )
  if len(data) < 12:
    raise ValueError(f'{name}: {len(data)} bytes, expected a header of 12.')
  width, height = struct.unpack('<2i', data[4:12])
  expected = 12 + 8 * width * height
  if width < 1 or height < 1 or len(data) != expected:
    raise ValueError(
      f'{name}: {len(data)} bytes, expected {expected} for {width} x {height} '
      'pixels.'
    )
  flow = np.frombuffer(data, '<f4', offset=12).reshape(height, width, 2)
  # A comparison with NaN is false, too.
  valid = np.all(np.abs(flow) < _UNKNOWN, axis=-1)
  return np.where(valid[..., None], flow, 0), valid.astype(np.uint8)


def encode_flo(flow: np.ndarray) -> bytes:
  """A .flo file of flow [H, W, 2]."""
  height, width = flow.shape[:2]
  header = _MAGIC + struct.pack('<2i', width, height)
  return header + flow.astype('<f4').tobytes()


def decode_kitti(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
  """Flow and where it is known, uint8 [H, W], of a PNG of KITTI.

  Its three channels of 16 bits are x, y and validity: 64 steps a pixel, 2^15
  for no motion.

  Raises:
    ValueError: it is none, or truncated.
  """
  cv2 = import_cv2()
  pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
    found = 'nothing that can be decoded'
    if pixels is not None:
      found = f'{pixels.dtype} {pixels.shape}'
    raise ValueError(
      f'{name}: found {found}, expected a PNG of three channels of 16 bits.'
    )
  valid, y, x = np.moveaxis(pixels, -1, 0)  # OpenCV reverses the channels.
  flow = (np.stack([x, y], axis=-1).astype(np.float32) - 2**15) / 64
  valid = valid > 0
  return np.where(valid[..., None], flow, 0), valid.astype(np.uint8)


def encode_kitti(flow: np.ndarray, valid: np.ndarray) -> bytes:
  """A PNG of KITTI of flow [H, W, 2] where `valid` [H, W] is not 0.

  Raises:
    ValueError: a known flow is beyond 512 pixels, which the format cannot hold.
  """
  known = valid > 0
  steps = np.round(np.where(known[..., None], flow, 0) * 64 + 2**15)
  if steps.min() < 0 or steps.max() >= 2**16:
    raise ValueError(
      f'flow: found up to {np.abs(flow[known]).max()} pixels, expected less '
      'than 512.'
    )
  pixels = np.dstack([known, steps[..., 1], steps[..., 0]]).astype(np.uint16)
  return import_cv2().imencode('.png', pixels)[1].tobytes()


def colours(flow: np.ndarray, max_motion: float | None = None) -> np.ndarray:
  """Flow [H, W, 2] as a picture, uint8 [H, W, 3].

  Hue is direction and saturation length, on the wheel of Baker et al. 2011 (A
  database and evaluation methodology for optical flow).

  Args:
    flow: to show.
    max_motion: the length of full saturation, in pixels; the longest of the
      flow if None. What is longer is darker.
  """
  length = np.linalg.norm(flow, axis=-1)
  if max_motion is None:
    max_motion = length.max()
  length = length / max(max_motion, 1e-6)
  place = (np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi + 1) / 2
  hue = np.stack(
    [np.interp(place, _HUE_PLACES, channel) for channel in _HUES.T], axis=-1
  )
  length = length[..., None]
  shown = np.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
  return np.round(255 * shown).astype(np.uint8)


def import_cv2():
  """OpenCV, which is not installed by default.

  Raises:
    ModuleNotFoundError: with the extra of this repository that installs it.
  """
  try:
    import cv2
  except ModuleNotFoundError as e:
    raise ModuleNotFoundError(
      "This needs OpenCV; `pip install -e '.[flow]'` installs it."
    ) from e
  return cv2

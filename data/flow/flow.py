"""What all data sets of optical flow share: examples and preprocessing.

A raw example is two frames and the flow from the first to the second:

  frame1, frame2: uint8 [H, W, 3].
  flow: float32 [H, W, (x, y)] in pixels: what is at p in frame 1 is at
    p + flow(p) in frame 2.
  valid: uint8 [H, W], 1 where the flow is known.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from data import image_ops

Example = dict[str, Any]


def preprocess(
  example: Example,
  *,
  train: bool,
  rng: np.random.Generator | None,
  size: tuple[int, int] | None = None,
  scale: float = 1.0,
  augment: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
  """Augments and crops in training; normalises.

  Args:
    example: a raw example.
    train: whether to augment and crop.
    rng: what to draw from; only used in training.
    size: height and width of the crop in training; an evaluation has whole
      images.
    scale: both frames are first resized, and the flow with them.
    augment: the fields of `Augmentation`; None for crops alone.

  Returns:
    `frames` float32 [2, H, W, 3] in [-1, 1], `flow` float32 [H, W, (x, y)] and
    `valid` float32 [H, W].
  """
  if scale != 1:
    height, width = example['valid'].shape
    example = resize(example, (round(scale * height), round(scale * width)))
  if train:
    if augment is not None:
      example = Augmentation(**augment)(example, rng, size)
    example = random_crop(example, rng, size)
  frames = np.stack([example['frame1'], example['frame2']])
  return {
    'frames': frames.astype(np.float32) * np.float32(2 / 255) - 1,
    'flow': example['flow'],
    'valid': example['valid'].astype(np.float32),
  }


def resize(example: Example, size: tuple[int, int]) -> Example:
  """Frames of another height and width; flow and validity of the nearest pixel.

  Frames are filtered, while flow is not: across the edge of an object its mean
  is no motion of anything.
  """
  old = example['valid'].shape
  rows, columns = (
    ((np.arange(n) + 0.5) * m / n).astype(int)
    for n, m in zip(size, old, strict=True)
  )
  nearest = np.ix_(rows, columns)
  ratio = np.float32([size[1] / old[1], size[0] / old[0]])
  frames = {
    name: np.asarray(
      PIL.Image.fromarray(example[name]).resize(size[::-1], Resampling.BILINEAR)
    )
    for name in ('frame1', 'frame2')
  }
  return frames | {
    'flow': example['flow'][nearest] * ratio,
    'valid': example['valid'][nearest],
  }


def random_crop(
  example: Example, rng: np.random.Generator, size: tuple[int, int]
) -> Example:
  """The same random window of everything.

  Raises:
    ValueError: the frames are smaller.
  """
  height, width = example['valid'].shape
  if height < size[0] or width < size[1]:
    raise ValueError(
      f'config.data.preprocess.size: found {tuple(size)}, but a pair has only '
      f'{height} x {width} pixels.'
    )
  top = rng.integers(height - size[0], endpoint=True)
  left = rng.integers(width - size[1], endpoint=True)
  window = np.s_[top : top + size[0], left : left + size[1]]
  return {name: x[window] for name, x in example.items()}


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """RAFT's augmentation with the numbers that AutoFlow's authors give it.

  Teed and Deng 2020; Sun et al. 2021, with their published program. Colours
  first, then erased boxes in frame 2, then scale and flips.

  Attributes:
    severity: 0 to 1: all ranges and probabilities are multiplied by it. Raised
      from run to run it is the curriculum; the paper says that severity grows,
      not how.
    brightness, contrast, saturation: jitter, see `image_ops.color_jitter`.
    hue: the largest shift, either way, as a share of the circle.
    asymmetric_prob: how often the frames are jittered on their own.
    erase_prob: how often one or two boxes of frame 2 get its mean colour.
    erase_sides: range of a box's sides in pixels.
    scale_prob: how often the scale changes.
    log_scale: range of the scale's binary logarithm.
    stretch_prob: how often, then, width and height differ.
    log_stretch: the largest of the binary logarithm, of either.
    flip_prob: how often left and right, and top and bottom, are swapped.
  """

  severity: float
  brightness: float
  contrast: float
  saturation: float
  hue: float
  asymmetric_prob: float
  erase_prob: float
  erase_sides: tuple[int, int]
  scale_prob: float
  log_scale: tuple[float, float]
  stretch_prob: float
  log_stretch: float
  flip_prob: tuple[float, float]

  def __call__(
    self, example: Example, rng: np.random.Generator, min_size: tuple[int, int]
  ) -> Example:
    """Augments; frames never become smaller than `min_size`."""
    example = self._jitter(example, rng)
    example = self._erase(example, rng)
    example = self._scale(example, rng, min_size)
    for axis, prob in zip((1, 0), self.flip_prob, strict=True):
      if rng.random() < self.severity * prob:
        example = flip(example, axis)
    return example

  def _jitter(self, example, rng):
    frames = [example['frame1'], example['frame2']]
    if rng.random() < self.severity * self.asymmetric_prob:
      frames = [self._jitter_colours(frame, rng) for frame in frames]
    else:
      frames = np.split(self._jitter_colours(np.concatenate(frames), rng), 2)
    return example | {'frame1': frames[0], 'frame2': frames[1]}

  def _jitter_colours(self, pixels, rng):
    image = image_ops.color_jitter(
      PIL.Image.fromarray(pixels),
      rng,
      brightness=self.severity * self.brightness,
      contrast=self.severity * self.contrast,
      saturation=self.severity * self.saturation,
    )
    shift = round(256 * self.severity * self.hue * rng.uniform(-1, 1))
    hue, saturation, value = image.convert('HSV').split()
    hue = hue.point([(i + shift) % 256 for i in range(256)])
    hsv = PIL.Image.merge('HSV', (hue, saturation, value))
    return np.asarray(hsv.convert('RGB'))

  def _erase(self, example, rng):
    if rng.random() >= self.severity * self.erase_prob:
      return example
    frame = example['frame2'].copy()
    mean = frame.mean(axis=(0, 1))
    for _ in range(rng.integers(1, 2, endpoint=True)):
      top, left = rng.integers(frame.shape[:2])
      height, width = rng.integers(*self.erase_sides, size=2)
      frame[top : top + height, left : left + width] = mean
    return example | {'frame2': frame}

  def _scale(self, example, rng, min_size):
    if rng.random() >= self.severity * self.scale_prob:
      return example
    log_scale = rng.uniform(*self.log_scale)
    logs = np.array([log_scale, log_scale])
    if rng.random() < self.severity * self.stretch_prob:
      logs += rng.uniform(-self.log_stretch, self.log_stretch, size=2)
    old = example['valid'].shape
    new = np.round(old * 2 ** (self.severity * logs)).astype(int)
    height, width = np.maximum(new, min_size).tolist()
    return resize(example, (height, width))


def flip(example: Example, axis: int) -> Example:
  """Mirrors height (axis 0) or width (axis 1)."""
  flipped = {name: np.flip(x, axis) for name, x in example.items()}
  sign = np.float32([1, -1] if axis == 0 else [-1, 1])
  return flipped | {'flow': flipped['flow'] * sign}


def synthetic(
  split: str, num_examples: int = 8, size: tuple[int, int] = (384, 512)
) -> list[Example]:
  """Raw examples: noise that moves by whole pixels, around the borders."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for _ in range(num_examples):
    noise = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
    frame = noise.repeat(8, axis=0).repeat(8, axis=1)
    x, y = rng.integers(-8, 8, 2, endpoint=True)
    examples.append(
      {
        'frame1': frame,
        'frame2': np.roll(frame, (y, x), axis=(0, 1)),
        'flow': np.broadcast_to(np.float32([x, y]), (*size, 2)),
        'valid': np.ones(size, np.uint8),
      }
    )
  return examples

"""Layers of photographs that move, and what two frames show of them.

A layer is made of its own coordinates u. Its texture is a photograph at a
similarity of u, and a polygon of u bounds it. Frame 1 shows at p what the layer
has at u = p + bend(p), frame 2 at q what it has at u = M^-1(q), M affine. So
the point at p in frame 1 is at M(p + bend(p)) in frame 2, exactly and without
any inversion of the bend.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data.flow import geometry


@dataclasses.dataclass(frozen=True)
class Layer:
  """One moving thing. Points are [..., (x, y)] in pixels.

  Attributes:
    texture: uint8 [H, W, 3]; it goes on beyond its sides as in a mirror.
    placement: [2, 3], from the layer's coordinates to the texture's.
    polygon: [V, 2] in the layer's coordinates; None: it is everywhere.
    motion: [2, 3], from the layer's coordinates to frame 2.
    bend: [K, 5], waves in frame 1: amplitude (x, y), frequency (x, y) in
      radians a pixel, phase.
  """

  texture: np.ndarray
  placement: np.ndarray
  polygon: np.ndarray | None
  motion: np.ndarray
  bend: np.ndarray

  def from_frame1(self, points: np.ndarray) -> np.ndarray:
    """The layer's coordinates of what is at points of frame 1."""
    amplitudes, frequencies = self.bend[:, :2], self.bend[:, 2:4]
    waves = np.sin(points @ frequencies.T + self.bend[:, 4])
    return points + waves @ amplitudes

  def from_frame2(self, points: np.ndarray) -> np.ndarray:
    """The layer's coordinates of what is at points of frame 2."""
    inverse = np.linalg.inv(self.motion[:, :2])
    return (points - self.motion[:, 2]) @ inverse.T

  def flow(self, points: np.ndarray) -> np.ndarray:
    """Where what is at points of frame 1 has gone, less where it was."""
    return geometry.affine(self.motion, self.from_frame1(points)) - points

  def covers(self, points: np.ndarray) -> np.ndarray:
    """Whether points in the layer's coordinates are inside the polygon."""
    if self.polygon is None:
      return np.ones(points.shape[:-1], bool)
    inside = np.zeros(points.shape[:-1], bool)
    x, y = points[..., 0], points[..., 1]
    for (x0, y0), (x1, y1) in zip(
      self.polygon, np.roll(self.polygon, -1, axis=0), strict=True
    ):
      # Every edge that a ray to the right crosses takes it in or out.
      crossed = (y0 <= y) != (y1 <= y)
      slope = (x1 - x0) / (y1 - y0) if y1 != y0 else 0.0
      inside ^= crossed & (x < x0 + (y - y0) * slope)
    return inside

  def colours(self, points: np.ndarray) -> np.ndarray:
    """The texture at points in the layer's coordinates, bilinear."""
    return geometry.bilinear(
      self.texture, geometry.affine(self.placement, points)
    )


def compose(
  layers: Sequence[Layer], size: tuple[int, int]
) -> dict[str, np.ndarray]:
  """Draws layers, the first of them behind all others.

  Returns:
    A raw example of flow: `frame1`, `frame2` uint8 [H, W, 3], `flow` float32
    [H, W, 2] and `valid` uint8 [H, W].
  """
  height, width = size
  x, y = np.meshgrid(np.arange(width), np.arange(height))
  points = np.stack([x, y], axis=-1).astype(np.float64)
  frames = np.zeros((2, height, width, 3))
  field = np.zeros((height, width, 2))
  nearest = np.zeros((height, width), int)  # index of the layer that is seen
  for i, layer in enumerate(layers):
    own = layer.from_frame1(points), layer.from_frame2(points)
    seen = [layer.covers(x) for x in own]
    for k in range(2):
      frames[k][seen[k]] = layer.colours(own[k][seen[k]])
    field[seen[0]] = layer.flow(points[seen[0]])
    nearest[seen[0]] = i
  targets = points + field
  valid = np.all((targets >= 0) & (targets <= (width - 1, height - 1)), axis=-1)
  for i, layer in enumerate(layers[1:], 1):
    hidden = (nearest < i) & layer.covers(layer.from_frame2(targets))
    valid &= ~hidden
  return {
    'frame1': np.round(frames[0]).astype(np.uint8),
    'frame2': np.round(frames[1]).astype(np.uint8),
    'flow': field.astype(np.float32),
    'valid': valid.astype(np.uint8),
  }


def as_stereo(layers: Sequence[Layer], size: tuple[int, int]) -> list[Layer]:
  """The layers as two cameras side by side see slanted surfaces.

  What is in a row stays in it. The middle of each layer moves to the left, as
  far as the middle of one of them did: that of the first, which is behind all
  others, the shortest way, that of the last the longest.

  Args:
    layers: the first of them behind all others.
    size: height and width of the frames.
  """
  middles = [
    np.array(size[::-1]) / 2 if x.polygon is None else x.polygon.mean(axis=0)
    for x in layers
  ]
  disparities = sorted(
    np.linalg.norm(geometry.affine(layer.motion, middle) - middle)
    for layer, middle in zip(layers, middles, strict=True)
  )
  found = []
  for layer, middle, disparity in zip(
    layers, middles, disparities, strict=True
  ):
    motion = geometry.about(
      np.stack([layer.motion[0, :2], [0.0, 1.0]]),
      middle,
      middle - (disparity, 0),
    )
    bend = layer.bend * (1, 0, 1, 1, 1)  # along x alone
    found.append(dataclasses.replace(layer, motion=motion, bend=bend))
  return found

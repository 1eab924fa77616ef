"""Parts of DeepMind's Perceiver that no model here uses, but goldens cover.

Letters: B batch, O queries, T time, H and W height and width, C channels, d
dimensions of an index.
"""

from collections.abc import Sequence

import jax
import numpy as np
from flax import linen as nn

from perceiver_io import initializers, patches
from perceiver_paca.ops.mesh import whole_examples

Dtype = jax.typing.DTypeLike


def linear_positions(index_dims: Sequence[int]) -> np.ndarray:
  """Positions of a grid in [-1, 1], ends included: float64 [*index_dims, d].

  The last axis is in the order of `index_dims`; a single position is -1.
  """
  axes = [np.linspace(-1, 1, n) for n in index_dims]
  return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)


class RefinedPositions(nn.Module):
  """Positions with residual linear maps after them, ReLU between the maps."""

  positions: nn.Module
  num_layers: int

  @nn.compact
  def __call__(self, index_dims, points=None, dtype=None):
    """As the `positions` that it refines."""
    x = self.positions(index_dims, points, dtype)
    for i in range(self.num_layers):
      if i > 0:
        x = nn.relu(x)
      x += nn.Dense(
        x.shape[-1],
        dtype=dtype,
        kernel_init=initializers.fan_in_truncated,
        name=f'linear_{i}',
      )(x)
    return x


class ConvUpsample(nn.Module):
  """Transposed convolutions of width 4, ReLU between them.

  The channels halve from layer to layer and end at `channels`.

  Attributes:
    channels: C of the result.
    spatial_layers: how many layers double height and width.
    temporal_layers: how many layers, from the first on, double time; None for
      images.
  """

  channels: int
  spatial_layers: int = 2
  temporal_layers: int | None = None
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H, W, C'] or [B, T, H, W, C'] to the upsampled array."""
    num_layers = max(self.spatial_layers, self.temporal_layers or 0)
    for i in range(num_layers):
      if i > 0:
        x = nn.relu(x)
      spatial = 2 if i < self.spatial_layers else 1
      strides = [spatial, spatial]
      if self.temporal_layers is not None:
        strides = [2 if i < self.temporal_layers else 1, *strides]
      x = nn.ConvTranspose(
        self.channels * 2 ** (num_layers - 1 - i),
        kernel_size=(4,) * len(strides),
        strides=strides,
        padding='SAME',
        kernel_init=initializers.fan_in_truncated,
        dtype=self.dtype,
        name=f'conv_{i}',
      )(whole_examples(x))
      x = whole_examples(x)
    return x


class UpsampledImage(nn.Module):
  """An image or a video from a coarser grid of queries, by convolutions.

  Attributes:
    index_dims: the grid, (H, W) or (T, H, W).
    upsample: what enlarges it.
  """

  index_dims: tuple[int, ...]
  upsample: ConvUpsample

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, prod(index_dims), C] to the upsampled array."""
    return self.upsample(x.reshape(x.shape[0], *self.index_dims, -1))


class PatchImage(nn.Module):
  """An image or a video whose patches are the outputs' channels.

  Attributes:
    index_dims: the grid of patches, (H, W) or (T, H, W).
    spatial, temporal: size of a patch.
  """

  index_dims: tuple[int, ...]
  spatial: int
  temporal: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, prod(index_dims), C] as `patches.depth_to_space`."""
    x = x.reshape(x.shape[0], *self.index_dims, -1)
    return patches.depth_to_space(x, self.spatial, self.temporal)

"""From what the decoder returns to what the task wants.

Final maps compute in the type of their parameters, float32, whatever the model
computes in.

Letters: B batch, O queries, C channels, H and W height and width.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_io import initializers, patches

Dtype = jax.typing.DTypeLike


class Projection(nn.Module):
  """A linear map of every output."""

  channels: int
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [..., C] to [..., channels]."""
    return nn.Dense(
      self.channels,
      kernel_init=initializers.fan_in_truncated,
      dtype=self.dtype,
      name='linear',
    )(x)


class ClassLogits(nn.Module):
  """Logits of classes from the only query."""

  num_classes: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, 1, C] to [B, num_classes]."""
    if x.ndim != 3 or x.shape[1] != 1:
      raise ValueError(f'outputs: found shape {x.shape}, expected [B, 1, C].')
    return nn.Dense(
      self.num_classes,
      kernel_init=initializers.fan_in_truncated,
      name='linear',
    )(x[:, 0])


class MeanLogits(nn.Module):
  """Logits of classes from the mean of all latents; they begin at zero.

  The whole decoder of the original Perceiver (Jaegle et al. 2021a, section 3).
  """

  num_classes: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, N, C] to [B, num_classes]."""
    return nn.Dense(
      self.num_classes,
      kernel_init=nn.initializers.zeros,
      name='linear',
    )(jnp.mean(x, axis=1))


class TokenLogits(nn.Module):
  """Logits of tokens by the input embedding, and a bias of their own."""

  @nn.compact
  def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
    """Maps x [B, O, C] and embedding [V, C] to logits [B, O, V]."""
    bias = self.param(
      'bias', nn.initializers.zeros, embedding.shape[:1], jnp.float32
    )
    logits = jnp.einsum(
      'boc,vc->bov',
      x,
      embedding.astype(x.dtype),
      preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
    return logits + bias


class Flow(nn.Module):
  """Optical flow of every pixel, beginning at zero.

  Attributes:
    height, width: of the image whose pixels are the queries.
    scale: what the linear map is multiplied by to give pixels. The published
      model divides by 100 and its users multiply by 20.
  """

  height: int
  width: int
  scale: float = 20 / 100

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H * W, C] to flow in pixels [B, H, W, (x, y)]."""
    flow = nn.Dense(2, kernel_init=nn.initializers.zeros, name='linear')(x)
    return flow.reshape(-1, self.height, self.width, 2) * self.scale


class ConvexFlow(nn.Module):
  """Optical flow of every pixel from a coarser grid of queries.

  A pixel's flow is a convex combination of the flows of the 3x3 cells around
  its own, with weights that are predicted, too (Teed and Deng 2020, section
  3.3). Beyond the border are the border's own cells; RAFT's code has zeros
  there, which shorten the flow along it.

  Attributes:
    height, width: of the grid.
    factor: pixels per cell along either side.
    channels: that the outputs are mapped to before flow and weights.
    scale: as `Flow`'s; the linear map gives cells, not pixels.
  """

  height: int
  width: int
  factor: int = 4
  channels: int = 64
  scale: float = 20 / 100

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, H * W, C] to flow [B, H * factor, W * factor, (x, y)]."""
    grid = (self.height, self.width)
    x = nn.Dense(
      self.channels, kernel_init=initializers.fan_in_truncated, name='hidden'
    )(x)
    flow = nn.Dense(2, kernel_init=nn.initializers.zeros, name='linear')(x)
    flow = flow.reshape(-1, *grid, 2) * self.scale * self.factor
    weights = nn.Dense(
      9 * self.factor**2,
      kernel_init=initializers.fan_in_truncated,
      name='weights',
    )(x)
    weights = weights.reshape(-1, *grid, self.factor, self.factor, 9)
    return convex_upsample(flow, nn.softmax(weights))


def convex_upsample(flow: jax.Array, weights: jax.Array) -> jax.Array:
  """Flow [B, H, W, 2] of cells to [B, H * f, W * f, 2] of pixels.

  Args:
    flow: of the cells, in pixels.
    weights: [B, H, W, f, f, 9], of the 3x3 cells, row by row, around the one
      that the pixel is in; they sum to 1.
  """
  height, width, factor = weights.shape[1:4]
  # Not `jnp.pad`, which the converter to ONNX pads the examples with, too.
  padded = jnp.concatenate([flow[:, :1], flow, flow[:, -1:]], axis=1)
  padded = jnp.concatenate(
    [padded[:, :, :1], padded, padded[:, :, -1:]], axis=2
  )
  cells = patches.extract_patches(padded, (3, 3))
  cells = cells.reshape(-1, height, width, 9, 2)
  flow = jnp.einsum('bhwijk,bhwkc->bhiwjc', weights, cells)
  return flow.reshape(-1, height * factor, width * factor, 2)


class AudioSamples(nn.Module):
  """Consecutive samples of a wave from every query."""

  samples_per_patch: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [B, O, C] to samples [B, O * samples_per_patch]."""
    x = nn.Dense(
      self.samples_per_patch,
      kernel_init=initializers.fan_in_truncated,
      name='linear',
    )(x)
    return x.reshape(x.shape[0], -1)

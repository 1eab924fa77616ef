"""What the decoder asks: one query per output element.

Every module here maps the encoder's inputs [B, M, C] (of which most need only
the batch size) to queries [B, O, C].

Letters: B batch, M inputs, O queries, C channels.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_io import initializers


class LearnedQueries(nn.Module):
  """Learned queries, the same for every example, or those asked for."""

  num_queries: int
  channels: int

  @nn.compact
  def __call__(
    self, inputs: jax.Array, points: jax.Array | None = None
  ) -> jax.Array:
    """Returns [B, O, channels], of the queries points [B, O], or of all."""
    table = self.param(
      'table',
      initializers.learned_array,
      (self.num_queries, self.channels),
      jnp.float32,
    )
    if points is not None:
      return table[points]
    return jnp.broadcast_to(table, (inputs.shape[0], *table.shape))


class PositionQueries(nn.Module):
  """The positions of a grid of outputs, or of chosen points of it.

  Attributes:
    index_dims: size of the output grid.
    positions: a module of `position_encoding`.
  """

  index_dims: tuple[int, ...]
  positions: nn.Module

  @nn.compact
  def __call__(
    self, inputs: jax.Array, points: jax.Array | None = None
  ) -> jax.Array:
    """Returns [B, O, C], O the points or all of the grid.

    Args:
      inputs: [B, M, C']; gives the batch size and the type.
      points: flat indices into the grid, [O] or [B, O].
    """
    x = self.positions(self.index_dims, points, dtype=inputs.dtype)
    return jnp.broadcast_to(x, (inputs.shape[0], *x.shape[-2:]))


class InputQueries(nn.Module):
  """The inputs, positions included, as their own queries."""

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Returns the inputs [B, M, C]."""
    return inputs


class FirstFrameQueries(nn.Module):
  """Of inputs in two frames, one after the other, the first frame's."""

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    """Returns the first half [B, M / 2, C] of the inputs [B, M, C]."""
    return inputs[:, : inputs.shape[1] // 2]

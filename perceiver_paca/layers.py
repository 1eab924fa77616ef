"""The layer that both families have in common."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_paca.ops import layer_norm


class LayerNorm(nn.Module):
  """`layer_norm` with the learned scale and bias of Flax's `nn.LayerNorm`.

  Attributes:
    epsilon: what is added to the variance.
    dtype: of the result; the widest of inputs and parameters if None.
  """

  epsilon: float
  dtype: jax.typing.DTypeLike | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises the last axis of x [..., C]."""
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, shape, jnp.float32)
    return layer_norm.layer_norm(x, scale, bias, self.epsilon, self.dtype)

"""A small convolutional classifier: what knows that neighbours are near.

Three 3 x 3 convolutions with stride 2, each normalised over its channels and
followed by GELU, the mean over the map and a linear layer. Not of a paper: the
least that a convolution is.

Letters: B batch, C channels.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


class ConvNet(nn.Module):
  """Attributes: channels after each convolution; num_classes."""

  channels: Sequence[int]
  num_classes: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps images [B, height, width, C] to logits [B, num_classes]."""
    x = images
    for i, channels in enumerate(self.channels):
      x = nn.Conv(channels, (3, 3), strides=2, name=f'conv_{i}')(x)
      x = nn.LayerNorm(epsilon=1e-6, name=f'norm_{i}')(x)
      x = nn.gelu(x, approximate=False)
    x = jnp.mean(x, axis=(1, 2))
    return nn.Dense(self.num_classes, name='head')(x)

"""Initialisers of the reference code, which are not those of Flax.

Attention and MLP kernels are LeCun normal (Flax's own); other kernels are a
truncated normal whose truncation is *not* corrected for, so that their standard
deviation is 0.88 of the one named.
"""

import math

import jax
from flax import linen as nn

# Latents, learned positions, paddings and mask tokens.
learned_array = nn.initializers.truncated_normal(0.02)


def fan_in_truncated(rng, shape, dtype) -> jax.Array:
  """Truncated normal of 1 / sqrt(fan_in), for kernels [..., in, out]."""
  stddev = 1 / math.sqrt(math.prod(shape[:-1]))
  return nn.initializers.truncated_normal(stddev)(rng, shape, dtype)

"""Metrics are sums until they are printed: exact for any batch and host."""

from typing import Protocol, Self

import flax.struct
import jax
import jax.numpy as jnp


class Metric(Protocol):
  """A pytree of sums over examples."""

  def merge(self, other: Self) -> Self:
    """The metric of both sets of examples."""

  def compute(self) -> float:
    """The value to print."""


@flax.struct.dataclass
class Mean:
  """A weighted mean, kept as its two sums."""

  total: jax.Array
  weight: jax.Array

  @classmethod
  def of(cls, values: jax.Array, mask: jax.Array) -> 'Mean':
    """The mean of `values` [B, ...] where `mask`, broadcast to them, is 1.

    Values under a zero mask do not count, not even NaN or infinity.
    """
    mask = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
    mask = jnp.broadcast_to(mask, values.shape).astype(jnp.float32)
    values = jnp.where(mask > 0, values.astype(jnp.float32), 0)
    return cls(total=jnp.sum(values * mask), weight=jnp.sum(mask))

  def merge(self, other: 'Mean') -> 'Mean':
    return Mean(self.total + other.total, self.weight + other.weight)

  def compute(self) -> float:
    return float(self.total) / float(self.weight)

"""Metrics are sums until they are printed: exact for any batch and host."""

import math
from typing import Protocol, Self

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


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
    """NaN if nothing counts."""
    if not self.weight:
      return math.nan
    return float(self.total) / float(self.weight)


@flax.struct.dataclass
class Matthews:
  """Matthews' correlation of two binary variables.

  Attributes:
    counts: [2, 2], how often each prediction met each label.
  """

  counts: jax.Array

  @classmethod
  def of(
    cls, predictions: jax.Array, labels: jax.Array, mask: jax.Array
  ) -> 'Matthews':
    """Of predictions and labels [B], each 0 or 1, where `mask` [B] is 1."""
    predictions, labels = (
      jnp.stack([x == 0, x == 1]).astype(jnp.float32)
      for x in (predictions, labels)
    )
    return cls(jnp.einsum('pb,lb,b->pl', predictions, labels, mask))

  def merge(self, other: 'Matthews') -> 'Matthews':
    return Matthews(self.counts + other.counts)

  def compute(self) -> float:
    """In [-1, 1]; 0 if predictions or labels are all the same."""
    (tn, fn), (fp, tp) = np.asarray(self.counts, np.float64)
    scale = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return float((tp * tn - fp * fn) / math.sqrt(scale)) if scale else 0.0


@flax.struct.dataclass
class Pearson:
  """Pearson's correlation, kept as moments about the means.

  Sums of raw products would cancel. Chan et al. 1983 (The American
  Statistician 37) say how such moments merge.

  Attributes:
    weight: number of pairs.
    mean: [2], of both variables.
    moment: [2, 2], sums of products of deviations from the means.
  """

  weight: jax.Array
  mean: jax.Array
  moment: jax.Array

  @classmethod
  def of(cls, x: jax.Array, y: jax.Array, mask: jax.Array) -> 'Pearson':
    """Of x and y [B] where `mask` [B] is 1."""
    values = jnp.where(mask > 0, jnp.stack([x, y]).astype(jnp.float32), 0)
    weight = jnp.sum(mask)
    mean = values @ mask / jnp.maximum(weight, 1)
    deviations = values - mean[:, None]
    moment = jnp.einsum('ib,jb,b->ij', deviations, deviations, mask)
    return cls(weight, mean, moment)

  def merge(self, other: 'Pearson') -> 'Pearson':
    weight = self.weight + other.weight
    share = other.weight / np.maximum(weight, 1)
    shift = other.mean - self.mean
    return Pearson(
      weight,
      self.mean + share * shift,
      self.moment + other.moment + self.weight * share * np.outer(shift, shift),
    )

  def compute(self) -> float:
    """In [-1, 1]; NaN if either variable is constant."""
    (xx, xy), (_, yy) = np.asarray(self.moment, np.float64)
    return float(xy / math.sqrt(xx * yy)) if xx * yy else math.nan

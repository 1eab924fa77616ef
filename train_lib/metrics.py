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


def merged(
  total: dict[str, Metric] | None, current: dict[str, Metric] | None
) -> dict[str, Metric] | None:
  """Adds a batch's sums to the host's, which are kept in float64.

  Args:
    total: of the batches before, None before the first.
    current: of one more, None for none.
  """
  if current is None:
    return total
  current = jax.tree.map(lambda x: np.asarray(x, np.float64), current)
  if total is None:
    return current
  return {name: total[name].merge(metric) for name, metric in current.items()}


def computed(total: dict[str, Metric]) -> dict[str, float]:
  """The values to print."""
  return {name: metric.compute() for name, metric in total.items()}


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
class RootMean(Mean):
  """The square root of a weighted mean, such as that of squared errors."""

  def merge(self, other: 'RootMean') -> 'RootMean':
    return RootMean(self.total + other.total, self.weight + other.weight)

  def compute(self) -> float:
    return math.sqrt(super().compute())


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


@flax.struct.dataclass
class ConfusionMatrix:
  """How often each class was predicted where each was right.

  Attributes:
    counts: [K, K] pixels, labels by predictions.
  """

  counts: jax.Array

  @classmethod
  def of(
    cls,
    predictions: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    num_classes: int,
  ) -> Self:
    """Of predictions and labels [B, ...] where `mask` [B] is 1.

    Labels outside [0, num_classes), such as 255, do not count. Exact below
    2^31 pixels a batch.
    """
    mask = mask.reshape(mask.shape + (1,) * (labels.ndim - mask.ndim))
    counted = (labels >= 0) & (labels < num_classes) & (mask > 0)
    labels = labels.astype(jnp.int32)
    # What is not counted falls beyond the last cell, which is dropped.
    cells = jnp.where(
      counted, labels * num_classes + predictions, num_classes**2
    )
    counts = jnp.bincount(cells.ravel(), length=num_classes**2 + 1)[:-1]
    return cls(counts.reshape(num_classes, num_classes))

  def merge(self, other: Self) -> Self:
    return type(self)(self.counts + other.counts)


@flax.struct.dataclass
class MeanIou(ConfusionMatrix):
  """Mean over the classes of intersection / union.

  A class that was neither right nor predicted anywhere does not count; one
  that was only predicted counts 0.
  """

  def per_class(self) -> np.ndarray:
    """[K], NaN for the classes that do not count."""
    counts = np.asarray(self.counts, np.float64)
    hits = np.diag(counts)
    return _ratio(hits, counts.sum(axis=0) + counts.sum(axis=1) - hits)

  def compute(self) -> float:
    return _mean(self.per_class())


@flax.struct.dataclass
class MeanClassAccuracy(ConfusionMatrix):
  """Mean over the classes that were right anywhere of their accuracy."""

  def compute(self) -> float:
    counts = np.asarray(self.counts, np.float64)
    return _mean(_ratio(np.diag(counts), counts.sum(axis=1)))


@flax.struct.dataclass
class PixelAccuracy(ConfusionMatrix):
  """The share of the labelled pixels that are right."""

  def compute(self) -> float:
    counts = np.asarray(self.counts, np.float64)
    return _mean(_ratio(np.trace(counts), counts.sum()))


def _ratio(part, whole):
  return np.divide(
    part, whole, out=np.full_like(whole, math.nan), where=whole > 0
  )


def _mean(values) -> float:
  """Of those that are not NaN; NaN if there are none."""
  values = np.atleast_1d(values)
  values = values[~np.isnan(values)]
  return float(values.mean()) if len(values) else math.nan

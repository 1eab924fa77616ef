"""What a model's K outputs mean: logits of classes, or numbers in units.

A task holds one of the two and asks it for whatever depends on which.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from train_lib import losses, metrics, task

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Classes:
  """Logits of classes.

  Attributes:
    num_outputs: K.
    smoothing: of integer labels in training; targets [B, K] are taken as they
      are.
  """

  num_outputs: int
  smoothing: float = 0.0

  @property
  def ranges(self) -> dict[str, tuple[int, int | None]]:
    """See `task.label_ranges_of`."""
    return {'label': (self.num_outputs, None)}

  def loss(
    self,
    outputs: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    model_state: PyTree = None,
  ) -> tuple[jax.Array, task.LossAux]:
    """The mean cross entropy of the examples; of hard labels also the accuracy.

    Args:
      outputs: [B, K].
      labels: integers [B], or float targets [B, K].
      mask: [B], 1 for the examples that count.
      model_state: of the model after the step; None if it has none.
    """
    hard = labels.ndim == 1
    loss = losses.softmax_cross_entropy(
      outputs, labels, self.smoothing if hard else 0.0
    )
    scalars = {}
    if hard:
      correct = (jnp.argmax(outputs, axis=-1) == labels).astype(loss.dtype)
      scalars['accuracy'] = losses.masked_mean(correct, mask)
    return losses.masked_mean(loss, mask), task.LossAux(
      model_state=model_state or {}, scalars=scalars, weight=jnp.sum(mask)
    )

  def metrics(
    self, outputs: jax.Array, labels: jax.Array, mask: jax.Array
  ) -> dict[str, metrics.Metric]:
    """Loss, accuracy and, of more than five classes, top-5 accuracy.

    Args:
      outputs: [B, K].
      labels: integers [B].
      mask: [B], 1 for the examples that count.
    """
    loss = losses.softmax_cross_entropy(outputs, labels)
    best = jax.lax.top_k(outputs, min(5, outputs.shape[-1]))[1]
    hits = best == labels[:, None]
    result = {
      'loss': metrics.Mean.of(loss, mask),
      'accuracy': metrics.Mean.of(hits[:, 0], mask),
    }
    if outputs.shape[-1] > 5:
      result['top5'] = metrics.Mean.of(jnp.any(hits, axis=-1), mask)
    return result

  def predictions(self, outputs: jax.Array) -> dict[str, jax.Array]:
    """`logits` [..., K]."""
    return {'logits': outputs}


@dataclasses.dataclass(frozen=True)
class Numbers:
  """Numbers, of which the outputs have mean 0 and deviation 1.

  Attributes:
    mean, std: K numbers each, of the training set.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]

  @property
  def ranges(self) -> dict[str, tuple[int, int | None]]:
    """Any number may be a label."""
    return {}

  def loss(
    self,
    outputs: jax.Array,
    labels: jax.Array,
    mask: jax.Array,
    model_state: PyTree = None,
  ) -> tuple[jax.Array, task.LossAux]:
    """The mean square of the errors, in deviations.

    Args:
      outputs: [N, K].
      labels: as many, in units.
      mask: as `labels` or [N], 1 for the numbers that count.
      model_state: of the model after the step; None if it has none.
    """
    labels, mask = _alike(outputs, labels, mask)
    loss = losses.masked_mean(self._squares(outputs, labels), mask)
    return loss, task.LossAux(
      model_state=model_state or {}, scalars={}, weight=jnp.sum(mask)
    )

  def metrics(
    self, outputs: jax.Array, labels: jax.Array, mask: jax.Array
  ) -> dict[str, metrics.Metric]:
    """The loss, and in units the root mean square and mean size of the errors.

    Args: as `loss`.
    """
    labels, mask = _alike(outputs, labels, mask)
    error = self.in_units(outputs) - labels
    return {
      'loss': metrics.Mean.of(self._squares(outputs, labels), mask),
      'rmse': metrics.RootMean.of(jnp.square(error), mask),
      'mae': metrics.Mean.of(jnp.abs(error), mask),
    }

  def predictions(self, outputs: jax.Array) -> dict[str, jax.Array]:
    """`numbers` [..., K], in units."""
    return {'numbers': self.in_units(outputs)}

  def in_units(self, outputs: jax.Array) -> jax.Array:
    """Of outputs [..., K]."""
    return outputs * np.float32(self.std) + np.float32(self.mean)

  def _squares(self, outputs, labels):
    labels = (labels - np.float32(self.mean)) / np.float32(self.std)
    return jnp.square(outputs - labels)


def _alike(outputs, labels, mask):
  """Labels and mask like outputs [N, K]."""
  mask = mask.reshape(len(outputs), -1)
  return labels.reshape(outputs.shape), jnp.broadcast_to(mask, outputs.shape)


def make_labels(
  config: ml_collections.ConfigDict, num_outputs: int
) -> Classes | Numbers:
  """Of a task that has classes or numbers.

  Args:
    config: label_smoothing; kind, 'classes' or 'numbers', and y_mean and y_std,
      which are empty of classes; without these three there are classes.
    num_outputs: of the model.

  Raises:
    ValueError: they do not fit, such as a kind that the labels are not of.
  """
  classes = Classes(num_outputs, config.label_smoothing)
  if 'kind' not in config:
    return classes
  expected = num_outputs if config.kind == 'numbers' else 0
  if len(config.y_mean) != expected or len(config.y_std) != expected:
    found = 'numbers' if config.y_mean else 'classes'
    raise ValueError(
      f'config.task.kind: found {config.kind!r} of {num_outputs} outputs, but '
      f'the labels are {found}: y_mean and y_std have {len(config.y_mean)} and '
      f'{len(config.y_std)} numbers.'
    )
  if config.kind == 'classes':
    return classes
  return Numbers(tuple(config.y_mean), tuple(config.y_std))

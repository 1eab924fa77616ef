"""Loss and metrics of models that predict numbers.

Shapes: ... any axes (examples, elements), K numbers.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from train_lib import losses, metrics
from train_lib.task import LossAux


@dataclasses.dataclass(frozen=True)
class Scale:
  """The units of K numbers; a model's outputs have mean 0 and deviation 1.

  Attributes:
    mean, std: K numbers each, of the training set.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]

  def in_units(self, outputs: jax.Array) -> jax.Array:
    """Of outputs [..., K]."""
    return outputs * np.float32(self.std) + np.float32(self.mean)

  def squares(self, outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Of the errors [..., K], in deviations; labels are in units."""
    labels = (labels - np.float32(self.mean)) / np.float32(self.std)
    return jnp.square(outputs - labels)


def make_scale(
  config: ml_collections.ConfigDict, num_outputs: int
) -> Scale | None:
  """Of a task that has classes or numbers; None of classes.

  Args:
    config: kind, 'classes' or 'numbers', and y_mean and y_std, which are empty
      of classes; without all these there are classes.
    num_outputs: of the model.

  Raises:
    ValueError: they do not fit, such as a kind that the labels are not of.
  """
  if 'kind' not in config:
    return None
  expected = num_outputs if config.kind == 'numbers' else 0
  if len(config.y_mean) != expected or len(config.y_std) != expected:
    found = 'numbers' if config.y_mean else 'classes'
    raise ValueError(
      f'config.task.kind: found {config.kind!r} of {num_outputs} outputs, but '
      f'the labels are {found}: y_mean and y_std have {len(config.y_mean)} and '
      f'{len(config.y_std)} numbers.'
    )
  if config.kind == 'classes':
    return None
  return Scale(tuple(config.y_mean), tuple(config.y_std))


def make_loss(
  scale: Scale,
  outputs: jax.Array,
  labels: jax.Array,
  mask: jax.Array,
  model_state: Any = None,
) -> tuple[jax.Array, LossAux]:
  """The mean square of the errors, in deviations.

  Args:
    scale: of the labels.
    outputs, labels: [..., K].
    mask: [..., K], 1 for the numbers that count.
    model_state: of the model after the step; None if it has none.
  """
  loss = losses.masked_mean(scale.squares(outputs, labels), mask)
  return loss, LossAux(
    model_state=model_state or {}, scalars={}, weight=jnp.sum(mask)
  )


def make_metrics(
  scale: Scale, outputs: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, metrics.Metric]:
  """The loss, and in units the root mean square and mean size of the errors."""
  error = scale.in_units(outputs) - labels
  return {
    'loss': metrics.Mean.of(scale.squares(outputs, labels), mask),
    'rmse': metrics.RootMean.of(jnp.square(error), mask),
    'mae': metrics.Mean.of(jnp.abs(error), mask),
  }

"""Loss and metrics of classifiers, given their logits.

Shapes: B batch, K classes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from train_lib import losses, metrics
from train_lib import task as task_lib

# (rng, images, integer labels) -> (images, targets [B, K])
Mixing = Callable[
  [jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]
]


def make_loss(
  logits: jax.Array,
  labels: jax.Array,
  mask: jax.Array,
  *,
  label_smoothing: float,
  model_state: Any,
) -> tuple[jax.Array, task_lib.LossAux]:
  """The mean cross entropy of the examples; of hard labels also the accuracy.

  Args:
    logits: [B, K].
    labels: integers [B], or float targets [B, K], taken as they are.
    mask: [B], 1 for the examples that count.
    label_smoothing: of integer labels.
    model_state: of the model after the step.
  """
  hard = labels.ndim == 1
  loss = losses.softmax_cross_entropy(
    logits, labels, label_smoothing if hard else 0.0
  )
  scalars = {}
  if hard:
    correct = (jnp.argmax(logits, axis=-1) == labels).astype(loss.dtype)
    scalars['accuracy'] = losses.masked_mean(correct, mask)
  return losses.masked_mean(loss, mask), task_lib.LossAux(
    model_state=model_state, scalars=scalars, weight=jnp.sum(mask)
  )


def make_metrics(
  logits: jax.Array, labels: jax.Array, mask: jax.Array
) -> dict[str, metrics.Mean]:
  """Loss, accuracy and, of more than five classes, top-5 accuracy.

  Args:
    logits: [B, K].
    labels: integers [B].
    mask: [B], 1 for the examples that count.
  """
  num_classes = logits.shape[-1]
  loss = losses.softmax_cross_entropy(logits, labels)
  best = jax.lax.top_k(logits, min(5, num_classes))[1]
  hits = best == labels[:, None]
  result = {
    'loss': metrics.Mean.of(loss, mask),
    'accuracy': metrics.Mean.of(hits[:, 0], mask),
  }
  if num_classes > 5:
    result['top5'] = metrics.Mean.of(jnp.any(hits, axis=-1), mask)
  return result

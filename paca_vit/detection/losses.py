"""The five losses of Mask R-CNN, each as what it sums and counts in an image.

A loss is the sum over images that are normalised together, divided by their
counts. mmdetection normalises over the images of a GPU, two in the published
recipes.

Shapes: B batch, N anchors, S slots of a sample, P of these for positives,
M cells of a mask's side, K classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from paca_vit.detection.targets import AnchorTargets, RoiTargets

# mmdetection adds this to what it divides by, except for masks.
_EPSILON = float(np.finfo(np.float32).eps)


class Terms(NamedTuple):
  """Attributes:
  total: [B] sums.
  count: [B] what they are divided by, together with other images'.
  epsilon: added to the sum of the counts.
  """

  total: jax.Array
  count: jax.Array
  epsilon: float = _EPSILON

  def mean(self, mask: jax.Array, group_size: int) -> jax.Array:
    """The mean over groups of neighbours of total / count.

    Args:
      mask: [B], 1 for images that count.
      group_size: images of a group; divides B.
    """
    mask = mask > 0
    total, count = (
      jnp.where(mask, x, 0).reshape(-1, group_size).sum(axis=1)
      for x in (self.total, self.count)
    )
    means = total / (jnp.maximum(count, 1) + self.epsilon)
    num_groups = jnp.sum(mask.reshape(-1, group_size).any(axis=1))
    return jnp.sum(means) / jnp.maximum(num_groups, 1)


def rpn_terms(
  logits: jax.Array, deltas: jax.Array, targets: AnchorTargets
) -> dict[str, Terms]:
  """Binary cross entropy of objectness, L1 of the positives' deltas.

  Both are divided by the number of positives plus that of negatives, which are
  at least 1 each.

  Args:
    logits: [B, N].
    deltas: [B, N, 4].
    targets: with a leading B.
  """
  index, is_positive, valid = targets.sample
  logits = jnp.take_along_axis(logits, index, axis=1)
  deltas = jnp.take_along_axis(deltas, index[..., None], axis=1)
  positives, negatives = (
    jnp.maximum(jnp.sum(x, axis=1), 1)
    for x in (is_positive, valid & ~is_positive)
  )
  count = (positives + negatives).astype(logits.dtype)
  entropy = sigmoid_cross_entropy(logits, is_positive)
  distance = jnp.abs(deltas - targets.deltas).sum(axis=-1)
  return {
    'rpn_objectness': Terms(_sum(entropy, valid), count),
    'rpn_boxes': Terms(_sum(distance, is_positive), count),
  }


def box_terms(
  logits: jax.Array, deltas: jax.Array, targets: RoiTargets
) -> dict[str, Terms]:
  """Cross entropy of the classes, L1 of the deltas of the positives' class.

  Both are divided by the number of boxes, positive or not. `accuracy` is that
  of the classes.

  Args:
    logits: [B, S, K + 1].
    deltas: [B, S, K, 4].
    targets: with a leading B.
  """
  num_classes = deltas.shape[2]
  is_positive = targets.valid & (targets.classes < num_classes)
  count = _sum(jnp.ones_like(logits[..., 0]), targets.valid)
  own = targets.classes[..., None]
  log_probs = jax.nn.log_softmax(logits)
  entropy = -jnp.take_along_axis(log_probs, own, axis=-1)[..., 0]
  own = jnp.minimum(own, num_classes - 1)[..., None]
  deltas = jnp.take_along_axis(deltas, own, axis=2)[:, :, 0]
  distance = jnp.abs(deltas - targets.deltas).sum(axis=-1)
  hits = jnp.argmax(logits, axis=-1) == targets.classes
  return {
    'classes': Terms(_sum(entropy, targets.valid), count),
    'boxes': Terms(_sum(distance, is_positive), count),
    'accuracy': Terms(
      _sum(hits.astype(count.dtype), targets.valid), count, epsilon=0.0
    ),
  }


def mask_terms(logits: jax.Array, targets: RoiTargets) -> dict[str, Terms]:
  """Binary cross entropy of the positives' masks of their class.

  Args:
    logits: [B, P, M, M, K].
    targets: with a leading B.
  """
  *_, num_cells, _, num_classes = logits.shape
  classes = targets.classes[:, : logits.shape[1]]
  is_positive = classes < num_classes
  own = own_masks(logits, jnp.minimum(classes, num_classes - 1))
  entropy = sigmoid_cross_entropy(own, targets.masks).mean(axis=(2, 3))
  count = _sum(jnp.ones_like(entropy), is_positive)
  return {'masks': Terms(_sum(entropy, is_positive), count, epsilon=0.0)}


def own_masks(logits: jax.Array, classes: jax.Array) -> jax.Array:
  """Of masks [B, R, M, M, K] those of the classes [B, R]: [B, R, M, M]."""
  index = classes[:, :, None, None, None]
  return jnp.take_along_axis(logits, index, axis=-1)[..., 0]


def sigmoid_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Of logits and labels [...], each 0 or 1, in nats."""
  return jax.nn.softplus(jnp.where(labels, -logits, logits))


def _sum(values, mask):
  return jnp.sum(jnp.where(mask, values, 0), axis=1)

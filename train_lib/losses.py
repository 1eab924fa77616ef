"""Losses, in float32 or wider whatever the model computes in.

Shapes: ... any leading axes (examples, pixels, tokens), K classes.
"""

import jax
import jax.numpy as jnp


def softmax_cross_entropy(
  logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
  """Cross entropy with integer labels [...] or target distributions [..., K].

  Args:
    logits: [..., K].
    labels: integer classes, or floating targets that sum to 1 over K.
    label_smoothing: share of the target that is spread evenly over K classes.

  Returns:
    [...] in nats. NaN where an integer label is K or more.

  Raises:
    ValueError: if the labels are neither.
  """
  integer = jnp.issubdtype(labels.dtype, jnp.integer)
  if labels.shape != (logits.shape[:-1] if integer else logits.shape):
    raise ValueError(
      'labels: expected integers [...] or targets [..., K] for logits '
      f'{logits.shape}, found {labels.dtype} {labels.shape}.'
    )
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  log_probs = jax.nn.log_softmax(logits)
  if integer:
    loss = -jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
  else:
    loss = -jnp.sum(labels * log_probs, axis=-1)
  if label_smoothing:
    even = -jnp.mean(log_probs, axis=-1)
    loss = (1 - label_smoothing) * loss + label_smoothing * even
  return loss


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
  """The mean of values [...] weighted by mask [...]; 0 where the mask is all 0.

  Values under a zero mask do not count, not even NaN, nor do their gradients.
  """
  mask = mask.astype(values.dtype)
  total = jnp.sum(jnp.where(mask > 0, values, 0) * mask)
  weight = jnp.sum(mask)
  return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), 0)

"""A batch in parts, one after the other, for devices that cannot hold it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def over_microbatches(grad_fn: Callable, num_microbatches: int) -> Callable:
  """Returns a function like `grad_fn` that runs it on parts of the batch.

  Every example counts as in one run over the whole batch (`LossAux.weight`).
  Row i goes to micro-batch i % num_microbatches: a batch that is split over
  devices stays where it is.

  Args:
    grad_fn: (model_state, batch, rng) -> (grads, loss, LossAux).
    num_microbatches: 1 or more; it divides the batch.

  Raises:
    ValueError: it does not, when the function is called.
  """
  if num_microbatches == 1:
    return grad_fn

  def split(x):
    if len(x) % num_microbatches:
      raise ValueError(
        f'config.optim.num_microbatches: {num_microbatches} does not divide '
        f'the batch of {len(x)}.'
      )
    x = x.reshape((-1, num_microbatches) + x.shape[1:])
    return jnp.moveaxis(x, 1, 0)

  def accumulated(model_state, batch, rng):
    def step(carry, inputs):
      sums, model_state = carry
      index, batch = inputs
      grads, loss, aux = grad_fn(
        model_state, batch, jax.random.fold_in(rng, index)
      )
      weighted = jax.tree.map(
        lambda x: x * aux.weight, (grads, loss, aux.scalars)
      )
      sums = jax.tree.map(jnp.add, sums, (weighted, aux.weight))
      return (sums, aux.model_state), None

    batches = jax.tree.map(split, batch)
    first = jax.tree.map(lambda x: x[0], batches)
    grads, loss, aux = jax.eval_shape(grad_fn, model_state, first, rng)
    sums = ((grads, loss, aux.scalars), aux.weight)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), sums)
    (sums, model_state), _ = jax.lax.scan(
      step, (zeros, model_state), (jnp.arange(num_microbatches), batches)
    )
    weighted, weight = sums
    grads, loss, scalars = jax.tree.map(lambda x: x / weight, weighted)
    aux = aux._replace(model_state=model_state, scalars=scalars, weight=weight)
    return grads, loss, aux

  return accumulated

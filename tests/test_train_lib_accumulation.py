"""Gradients over parts of a batch are those of the whole."""

import jax
import numpy as np

from train_lib import accumulation
from train_lib.task import LossAux


def test_accumulation_is_exact_for_unequal_weights():
  """Micro-batches with unlike numbers of valid examples count as one batch."""

  def loss_fn(params, model_state, batch, rng):
    del rng
    error = (batch['x'] @ params - batch['y']) ** 2
    weight = batch['mask'].sum()
    loss = (error * batch['mask']).sum() / weight
    seen = {'seen': model_state['seen'] + weight}
    return loss, LossAux(seen, {'error': loss}, weight)

  with jax.enable_x64(True):
    rng = np.random.default_rng(0)
    batch = {
      'x': rng.standard_normal((12, 3)),
      'y': rng.standard_normal(12),
      'mask': np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0.0]),
    }
    params = rng.standard_normal(3)

    def grad_fn(*args):
      grad = jax.value_and_grad(loss_fn, has_aux=True)
      (loss, aux), grads = grad(params, *args)
      return grads, loss, aux

    args = ({'seen': 0.0}, batch, jax.random.key(0))
    whole = accumulation.over_microbatches(grad_fn, 1)(*args)
    for num in (2, 3, 4):
      parts = jax.jit(accumulation.over_microbatches(grad_fn, num))(*args)
      jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), whole, parts
      )

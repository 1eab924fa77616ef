"""One product of rows is the product of all axes, and so are its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from perceiver_paca.ops import product


@pytest.mark.parametrize('shape', [(5,), (4, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_value_and_gradients_are_those_of_the_plain_product(shape):
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=shape), rng.normal(size=(5, 7))
  gradient = rng.normal(size=(*shape[:-1], 7))
  with jax.enable_x64(True):
    out, pull = jax.vjp(product.dot_general, x, kernel)
    np.testing.assert_allclose(out, x @ kernel, rtol=1e-12)
    dx, dkernel = pull(gradient)
  np.testing.assert_allclose(dx, gradient @ kernel.T, rtol=1e-12)
  rows = x.reshape(-1, 5).T @ gradient.reshape(-1, 7)
  np.testing.assert_allclose(dkernel, rows, rtol=1e-12)


def test_a_layer_of_flax_takes_it():
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
  plain, ours = nn.Dense(6), nn.Dense(6, dot_general=product.dot_general)
  variables = plain.init(jax.random.key(0), x)
  np.testing.assert_allclose(
    ours.apply(variables, x), plain.apply(variables, x), rtol=1e-6
  )


def test_sums_are_taken_in_the_type_that_is_asked_for():
  x, kernel = jnp.full((2, 2, 512), 1.0, 'bfloat16'), jnp.ones((512, 1))
  kernel = kernel.astype('bfloat16').at[0].set(1 / 256)
  out = product.dot_general(x, kernel, preferred_element_type=jnp.float32)
  assert out.dtype == jnp.float32
  np.testing.assert_array_equal(out, 511 + 1 / 256)


def test_nothing_is_turned_round_for_the_gradient():
  """What the product is for: the plain one copies x or the gradient."""
  x, kernel = jnp.ones((2, 8, 8, 16)), jnp.ones((16, 64))

  def copies(multiply):
    def gradient(g, x, kernel):
      return jax.vjp(lambda k: multiply(x, k), kernel)[1](g)

    program = jax.jit(gradient).lower(jnp.ones((2, 8, 8, 64)), x, kernel)
    return program.compile().as_text().count(' copy(')

  def plain(x, kernel):
    return lax.dot_general(x, kernel, (((3,), (0,)), ((), ())))

  assert copies(product.dot_general) == 0 < copies(plain)


def test_other_products_are_refused():
  with pytest.raises(ValueError, match='dimension_numbers: found'):
    product.dot_general(
      jnp.ones((2, 3)), jnp.ones((2, 3)), (((0,), (0,)), ((), ()))
    )

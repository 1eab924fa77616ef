"""Layer normalisation against NumPy and against what JAX derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from perceiver_paca import layers
from perceiver_paca.ops.layer_norm import layer_norm


def case(shape, dtype, seed=0):
  rng = np.random.default_rng(seed)
  x, gradient = rng.normal(3.0, 2.0, (2, *shape))
  scale, bias = rng.normal(1.0, 0.3, (2, shape[-1]))
  as_array = (jnp.asarray(a, dtype) for a in (x, scale, bias, gradient))
  return tuple(as_array)


def derived(x, scale, bias, epsilon):
  """The definition, whose gradient JAX derives."""
  centred = x - jnp.mean(x, -1, keepdims=True)
  variance = jnp.mean(centred**2, -1, keepdims=True)
  return centred / jnp.sqrt(variance + epsilon) * scale + bias


@pytest.mark.parametrize('shape', [(7,), (3, 5), (2, 3, 4, 48), (4, 1)])
@pytest.mark.parametrize('epsilon', [1e-6, 1e-2])
def test_value_and_gradients_are_those_of_the_definition(shape, epsilon):
  with jax.enable_x64(True):
    *args, gradient = case(shape, jnp.float64)
    y, pull = jax.vjp(lambda *a: layer_norm(*a, epsilon), *args)
    expected, expected_pull = jax.vjp(lambda *a: derived(*a, epsilon), *args)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    for found, wanted in zip(
      pull(gradient), expected_pull(gradient), strict=True
    ):
      np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('dtype', [None, jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('x_dtype', [jnp.float32, jnp.bfloat16])
def test_forward_bits_and_types_are_those_of_flax(x_dtype, dtype):
  x, *_ = case((6, 33), x_dtype)
  ours = layers.LayerNorm(epsilon=1e-5, dtype=dtype)
  flax = nn.LayerNorm(epsilon=1e-5, dtype=dtype, use_fast_variance=False)
  variables = flax.init(jax.random.key(0), x)
  params = {
    'scale': jnp.linspace(0.5, 2, 33),
    'bias': jnp.linspace(-1, 1, 33),
  }
  same = jax.tree.map(lambda a: a.shape, variables)
  assert jax.tree.map(lambda a: a.shape, ours.init(jax.random.key(0), x)) == (
    same
  )
  found = ours.apply({'params': params}, x)
  expected = flax.apply({'params': params}, x)
  assert found.dtype == expected.dtype
  np.testing.assert_array_equal(found, expected)


def test_statistics_are_float32_for_half_precision():
  x = jnp.asarray(1000 + np.arange(64.0).reshape(2, 32), jnp.bfloat16)
  ones, zeros = jnp.ones(32), jnp.zeros(32)
  wide = np.asarray(x, np.float64)
  expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(
    wide.var(-1, keepdims=True) + 1e-5
  )
  found = layer_norm(x, ones, zeros, 1e-5, jnp.float32)
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_gradient_keeps_nothing_wider_than_the_inputs():
  x, scale, bias, _ = case((64, 128), jnp.bfloat16)
  _, pull = jax.vjp(lambda x: layer_norm(x, scale, bias, 1e-5), x)
  kept = [a for a in jax.tree.leaves(pull) if a.size == x.size]
  assert [a.dtype for a in kept] == [jnp.bfloat16]

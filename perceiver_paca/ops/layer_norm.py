"""Layer normalisation that keeps little for its gradient.

What JAX derives keeps the centred inputs in float32, an array wider than the
inputs. This keeps the inputs, which are there anyway, and two numbers a row.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax


def layer_norm(
  x: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  epsilon: float,
  dtype: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """(x - mean) / sqrt(variance + epsilon) * scale + bias over the last axis.

  Ba et al. 2016, equations 3 and 4. Statistics, sums and gradients are taken in
  float32 or wider; the variance is the mean of squared distances, since
  E[x^2] - E[x]^2 loses digits. The function has no forward-mode derivative.

  Args:
    x: [..., C].
    scale: [C].
    bias: [C].
    epsilon: what is added to the variance.
    dtype: of the result; the widest of the three if None.

  Returns:
    The shape of `x`.
  """
  if dtype is None:
    dtype = jnp.result_type(x, scale, bias)
  return _layer_norm(x, scale, bias, epsilon, jnp.dtype(dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _layer_norm(x, scale, bias, epsilon, dtype):
  return _forward(x, scale, bias, epsilon, dtype)[0]


def _widest(x, scale, bias):
  return jnp.promote_types(jnp.result_type(x, scale, bias), jnp.float32)


def _forward(x, scale, bias, epsilon, dtype):
  wide = x.astype(_widest(x, scale, bias))
  mean = jnp.mean(wide, -1, keepdims=True)
  variance = jnp.mean(jnp.square(wide - mean), -1, keepdims=True)
  rate = lax.rsqrt(variance + epsilon)
  y = (wide - mean) * (rate * scale) + bias
  return y.astype(dtype), (x, scale, bias, mean, rate)


def _backward(epsilon, dtype, residuals, gradient):
  del epsilon, dtype
  x, scale, bias, mean, rate = residuals
  gradient = gradient.astype(mean.dtype)
  normed = (x.astype(mean.dtype) - mean) * rate
  scaled = gradient * scale
  along_one = jnp.mean(scaled, -1, keepdims=True)
  along_normed = jnp.mean(scaled * normed, -1, keepdims=True)
  rows = tuple(range(x.ndim - 1))
  return (
    (rate * (scaled - along_one - normed * along_normed)).astype(x.dtype),
    jnp.sum(gradient * normed, rows).astype(scale.dtype),
    jnp.sum(gradient, rows).astype(bias.dtype),
  )


_layer_norm.defvjp(_forward, _backward)

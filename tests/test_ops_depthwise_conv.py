"""The fast depth-wise convolution against loops and the grouped one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_paca.ops import compiling, depthwise_conv

# H, W, k: odd and even sides, one pixel, filters larger than the image.
SIZES = [(5, 8, 3), (9, 6, 7), (1, 1, 7), (2, 11, 7), (1, 4, 3), (3, 3, 1)]


def arrays(height, width, k, batch=6, channels=3, dtype=np.float64):
  rng = np.random.default_rng(0)
  x = rng.standard_normal((batch, height, width, channels)).astype(dtype)
  kernel = rng.standard_normal((k, k, channels)).astype(dtype)
  return x, kernel, rng.standard_normal(x.shape).astype(dtype)


def naive(x, kernel):
  """The definition, pixel by pixel."""
  p = len(kernel) // 2
  padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
  out = np.zeros_like(x)
  for h in range(x.shape[1]):
    for w in range(x.shape[2]):
      window = padded[:, h : h + len(kernel), w : w + len(kernel)]
      out[:, h, w] = (window * kernel).sum((1, 2))
  return out


@pytest.mark.parametrize('height, width, k', SIZES)
def test_value_and_gradients_in_float64(height, width, k):
  x, kernel, g = arrays(height, width, k)
  with jax.enable_x64(True):
    out, vjp = jax.vjp(depthwise_conv.depthwise_conv, x, kernel)
    reference, reference_vjp = jax.vjp(
      depthwise_conv.depthwise_conv_reference, x, kernel
    )
    np.testing.assert_allclose(out, naive(x, kernel), atol=1e-13)
    np.testing.assert_allclose(reference, out, atol=1e-13)
    for got, want in zip(vjp(g), reference_vjp(g), strict=True):
      assert got.dtype == np.float64
      np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize('batch, width, channels', [(4, 300, 40), (6, 9, 5)])
def test_batches_in_groups_and_alone(batch, width, channels):
  # The kernel's gradient walks over single large images or groups of small.
  x, kernel, g = arrays(2, width, 3, batch, channels)
  with jax.enable_x64(True):
    got = jax.vjp(depthwise_conv.depthwise_conv, x, kernel)[1](g)
    want = jax.vjp(depthwise_conv.depthwise_conv_reference, x, kernel)[1](g)
    for a, b in zip(got, want, strict=True):
      np.testing.assert_allclose(a, b, atol=1e-11)


def test_bfloat16_rounds_once():
  # Sums in bfloat16 would lose several bits over the 49 taps.
  x, kernel, g = arrays(9, 9, 7, batch=16, dtype=jnp.bfloat16)
  wide = [a.astype(np.float32) for a in (x, kernel)]
  out, vjp = jax.vjp(depthwise_conv.depthwise_conv, x, kernel)
  want, want_vjp = jax.vjp(depthwise_conv.depthwise_conv_reference, *wide)
  got = (out, *vjp(g))
  want = (want, *want_vjp(g.astype(np.float32)))
  for a, b in zip(got, want, strict=True):
    assert a.dtype == jnp.bfloat16
    np.testing.assert_allclose(a.astype(np.float32), b, rtol=2.0**-8, atol=1e-4)


def test_under_vmap_and_jit():
  x, kernel, _ = arrays(4, 5, 3, dtype=np.float32)
  kernels = np.stack([kernel, -kernel])
  out = jax.jit(jax.vmap(depthwise_conv.depthwise_conv, (None, 0)))(x, kernels)
  np.testing.assert_allclose(out[0], -out[1])
  np.testing.assert_allclose(out[0], naive(x, kernel), atol=1e-5)


@pytest.mark.parametrize(
  'x, kernel, message',
  [
    ((2, 4, 4, 3), (3, 3, 4), r'found \(2, 4, 4, 3\) and \(3, 3, 4\)'),
    ((4, 4, 3), (3, 3, 3), 'expected x'),
    ((2, 4, 4, 3), (2, 2, 3), 'odd size'),
    ((2, 4, 4, 3), (3, 5, 3), 'square'),
  ],
)
def test_wrong_shapes_are_refused(x, kernel, message):
  with pytest.raises(ValueError, match=message):
    depthwise_conv.depthwise_conv(jnp.zeros(x), jnp.zeros(kernel))


def test_wrong_dtypes_are_refused():
  with pytest.raises(ValueError, match='bfloat16'):
    depthwise_conv.depthwise_conv(
      jnp.zeros((1, 2, 2, 3), jnp.bfloat16), jnp.zeros((3, 3, 3))
    )


@pytest.mark.parametrize('platform', ['cpu', 'tpu', 'cuda'])
@pytest.mark.parametrize('k', [3, 7])
def test_each_platform_gets_its_implementation(platform, k):
  x, kernel, _ = arrays(8, 8, k, dtype=np.float32)
  text = (
    jax.jit(depthwise_conv.depthwise_conv)
    .trace(x, kernel)
    .lower(lowering_platforms=(platform,))
    .as_text()
  )
  shifted = platform == 'cpu' or (platform == 'tpu' and k == 3)
  assert ('stablehlo.convolution' in text) == (not shifted)


def test_as_one_operation_for_other_runtimes():
  """Also after the choice by platform was traced; and only within."""
  x, kernel, _ = arrays(6, 5, 3, dtype=np.float32)

  def traced():
    # A function of its own, since JAX remembers what a function was traced to.
    return jax.make_jaxpr(lambda *args: depthwise_conv.depthwise_conv(*args))(
      x, kernel
    )

  def names(jaxpr):
    return [equation.primitive.name for equation in jaxpr.eqns]

  assert 'platform_index' in str(traced())
  with compiling.for_other_runtimes():
    inside = traced()
    out = depthwise_conv.depthwise_conv(x, kernel)
  assert names(inside.jaxpr).count('conv_general_dilated') == 1
  assert 'platform_index' not in str(inside)
  assert 'platform_index' in str(traced())
  np.testing.assert_allclose(out, naive(x, kernel), atol=1e-5)

"""Depth-wise convolution: one k x k filter a channel.

XLA's grouped convolution, `depthwise_conv_reference`, is the definition. On a
CPU it runs 10 to 100 times slower than sums of shifted products, on a TPU the
3x3 forward does too (by the compiler's count of bytes), so `depthwise_conv`
chooses by platform, for the value and for each gradient, when it is lowered.
What is exported to another runtime takes the definition, see `compiling`.

Shapes: B batch, H height, W width, C channels, k kernel size (odd).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from perceiver_paca.ops import compiling

_TILE = 8192  # elements of a partial sum that stay in the CPU's cache


def depthwise_conv_reference(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`depthwise_conv` as one grouped convolution."""
  padding = kernel.shape[0] // 2
  return lax.conv_general_dilated(
    x,
    kernel[:, :, None, :],
    window_strides=(1, 1),
    padding=[(padding, padding)] * 2,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=x.shape[-1],
  )


def depthwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolves each channel with its own filter, stride 1, zero padding k // 2.

  Args:
    x: [B, H, W, C], any H and W, also smaller than the kernel.
    kernel: [k, k, C] in the dtype of `x`, k odd.

  Returns:
    [B, H, W, C]; sums are taken in float32 or wider.

  Raises:
    ValueError: if the shapes or dtypes do not fit.
  """
  if x.ndim != 4 or kernel.ndim != 3 or x.shape[-1] != kernel.shape[-1]:
    raise ValueError(
      'depthwise_conv: expected x [B, H, W, C] and kernel [k, k, C], found '
      f'{x.shape} and {kernel.shape}.'
    )
  if kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
    raise ValueError(
      'depthwise_conv: expected a square kernel of odd size, found '
      f'{kernel.shape}.'
    )
  if x.dtype != kernel.dtype:
    raise ValueError(
      'depthwise_conv: expected equal dtypes, found x in '
      f'{x.dtype} and kernel in {kernel.dtype}.'
    )
  if compiling.is_for_other_runtimes():
    return depthwise_conv_reference(x, kernel)
  return _depthwise_conv(x, kernel)


# The jit makes a model trace each shape once, not once a block.
@jax.custom_vjp
@jax.jit
def _depthwise_conv(x, kernel):
  small = kernel.shape[0] <= 3
  return lax.platform_dependent(
    x,
    kernel,
    cpu=_shifted_sum,
    tpu=_shifted_sum if small else depthwise_conv_reference,
    default=depthwise_conv_reference,
  )


def _forward(x, kernel):
  return _depthwise_conv(x, kernel), (x, kernel)


@jax.jit
def _backward(residuals, gradient):
  return lax.platform_dependent(
    *residuals, gradient, cpu=_backward_cpu, default=_backward_reference
  )


_depthwise_conv.defvjp(_forward, _backward)


def _backward_reference(x, kernel, gradient):
  return jax.vjp(depthwise_conv_reference, x, kernel)[1](gradient)


def _backward_cpu(x, kernel, gradient):
  # The adjoint of a zero-padded correlation is one with the filter turned.
  x_gradient = _shifted_sum(gradient, kernel[::-1, ::-1])
  kernel_gradient = _correlate(x, gradient, kernel.shape[0])
  return x_gradient, kernel_gradient.astype(kernel.dtype)


def _shifted_sum(x, kernel):
  """The sum over the filter's taps of the shifted image times the tap."""
  _, height, width, _ = x.shape
  k = kernel.shape[0]
  padding = k // 2
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  kernel = kernel.astype(dtype)
  taps = [  # the others meet nothing but padding
    (i, j)
    for i in range(k)
    for j in range(k)
    if abs(i - padding) < height and abs(j - padding) < width
  ]
  around = (padding, padding)
  padded = jnp.pad(x, ((0, 0), around, around, (0, 0)))
  terms = (
    padded[:, i : i + height, j : j + width].astype(dtype) * kernel[i, j]
    for i, j in taps
  )
  return functools.reduce(jnp.add, terms).astype(x.dtype)


def _correlate(x, gradient, k):
  """The kernel's gradient [k, k, C] in float32 or wider.

  A plain reduction over the leading axes reads memory against its order. This
  one walks over the rows and keeps, for each tap, an elementwise sum of a row's
  size, which stays in the cache; only these are reduced, at the end.
  """
  batch, height, width, channels = x.shape
  padding = k // 2
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  # Small images: walk over several at once, or the loop itself costs most.
  group = max(
    size
    for size in range(1, batch + 1)
    if batch % size == 0 and (size == 1 or size * width * channels <= _TILE)
  )

  around = (padding, padding)
  padded = jnp.pad(x, ((0, 0), around, around, (0, 0)))

  def row(array, image, h, w):
    part = (group, 1, width, channels)
    return lax.dynamic_slice(array, (image, h, w, 0), part).astype(dtype)

  def correlate_row(i):
    """[k, C]: the gradient of row i of the kernel."""

    def add(step, sums):
      image, h = step // height * group, step % height
      gradient_row = row(gradient, image, h, 0)
      return tuple(
        total + row(padded, image, h + i, j) * gradient_row
        for j, total in enumerate(sums)
      )

    zeros = jnp.zeros((group, 1, width, channels), dtype)
    sums = lax.fori_loop(0, batch // group * height, add, (zeros,) * k)
    return jnp.stack([jnp.sum(total, axis=(0, 1, 2)) for total in sums])

  return lax.map(correlate_row, jnp.arange(k))

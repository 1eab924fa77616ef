"""The small parts that every module of PaCa-ViT is built from.

Initialisation follows the authors' code (MIT licence): linear layers draw
from a normal distribution with standard deviation 0.02, convolutions with
sqrt(2 / fan_out), biases are 0. GELU is the exact one.

Shapes: B batch, H height, W width, C channels. `dtype` is what is computed in;
parameters stay float32, statistics and sums are float32 or wider.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from perceiver_paca import layers
from perceiver_paca.ops import depthwise_conv, product
from perceiver_paca.ops.mesh import whole_examples

LayerNorm = functools.partial(layers.LayerNorm, epsilon=1e-6)
_Dense = functools.partial(nn.Dense, dot_general=product.dot_general)
linear_init = nn.initializers.normal(0.02)
Linear = functools.partial(_Dense, kernel_init=linear_init)
_conv_init = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
Conv1x1 = functools.partial(_Dense, kernel_init=_conv_init)


class _Conv(nn.Conv):
  """Flax's convolution, on a mesh, too."""

  def __call__(self, x: jax.Array) -> jax.Array:
    x = super().__call__(whole_examples(x))
    return whole_examples(x)


Conv = functools.partial(_Conv, kernel_init=_conv_init)
# XLA's SAME would pad even sizes on one side only.
StridedConv3x3 = functools.partial(
  _Conv,
  kernel_size=(3, 3),
  strides=(2, 2),
  padding=((1, 1), (1, 1)),
  kernel_init=_conv_init,
)


@jax.custom_jvp
def gelu(x: jax.Array) -> jax.Array:
  """x Phi(x), in float32 or wider inside.

  The derivative is given in closed form so that the backward pass keeps one
  array instead of three.
  """
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  return (wide * _normal_cdf(wide)).astype(x.dtype)


@gelu.defjvp
def _gelu_jvp(primals, tangents):
  (x,), (tangent,) = primals, tangents
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  cdf = _normal_cdf(wide)
  pdf = jnp.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
  slope = (cdf + wide * pdf).astype(x.dtype)
  return (wide * cdf).astype(x.dtype), tangent * slope


def _normal_cdf(x):
  return 0.5 * (1 + lax.erf(x / math.sqrt(2)))


class DepthwiseConv(nn.Module):
  """`depthwise_conv` with a bias: [..., H, W, C] to the same shape."""

  kernel_size: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels = x.shape[-1]
    kernel = self.param(
      'kernel',
      nn.initializers.normal(math.sqrt(2) / self.kernel_size),
      (self.kernel_size, self.kernel_size, channels),
    )
    bias = self.param('bias', nn.initializers.zeros, (channels,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    images = x.reshape(-1, *x.shape[-3:])
    outputs = depthwise_conv.depthwise_conv(images, kernel) + bias
    return outputs.reshape(x.shape)


class BatchNorm(nn.Module):
  """Batch normalisation over all axes but the last, with PyTorch's statistics.

  The batch is normalised with its biased variance, while the running variance
  takes the unbiased one (Flax's BatchNorm takes the biased one). Under jit the
  statistics are those of the global batch, whatever its sharding.

  Attributes:
    dtype: of the result.
    decay: how much of the running statistics an update keeps.
  """

  dtype: jax.typing.DTypeLike = jnp.float32
  decay: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    channels = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (channels,))
    bias = self.param('bias', nn.initializers.zeros, (channels,))
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
    running_var = self.variable('batch_stats', 'var', jnp.ones, (channels,))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if train:
      count = x.size // channels
      if count < 2:
        raise ValueError(
          'BatchNorm: training needs more than one value a channel, found '
          f'inputs {x.shape}.'
        )
      axes = tuple(range(x.ndim - 1))
      mean = jnp.mean(wide, axes)
      var = jnp.mean(jnp.square(wide - mean), axes)
      if not self.is_initializing():
        self._update(running_mean, mean)
        self._update(running_var, var * (count / (count - 1)))
    else:
      mean, var = running_mean.value, running_var.value
    multiplier = lax.rsqrt(var + self.epsilon) * scale
    return ((wide - mean) * multiplier + bias).astype(self.dtype)

  def _update(self, running, value):
    value = lax.stop_gradient(value).astype(running.value.dtype)
    running.value = self.decay * running.value + (1 - self.decay) * value


class DropPath(nn.Module):
  """Drops x [B, ...] for a whole example, else scales it by 1 / (1 - rate).

  Attributes:
    rate: chance of it, below 1; an array where it is that of a loop's layer.
  """

  rate: float | jax.Array

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    if not train or (isinstance(self.rate, float) and self.rate == 0):
      return x
    keep = jnp.asarray(1 - self.rate, x.dtype)
    shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    kept = jax.random.bernoulli(
      self.make_rng('drop_path'), 1 - self.rate, shape
    )
    return jnp.where(kept, x / keep, 0)

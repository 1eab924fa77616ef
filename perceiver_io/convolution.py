"""Convolutional stems of the Perceiver.

Letters: B batch, T time, H and W height and width, C channels.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from perceiver_io import initializers
from perceiver_paca.ops.mesh import whole_examples

Dtype = jax.typing.DTypeLike


class BatchNorm(nn.Module):
  """Batch normalisation with zero-debiased running statistics, as Haiku's.

  Flax's own starts its averages at 0 and 1 and never removes that start. Here
  hidden <- decay hidden + (1 - decay) value, and the average in use is
  hidden / (1 - decay^steps). The variance is the biased one, and under `jit`
  over a mesh the batch is the global one.
  """

  decay: float = 0.9
  epsilon: float = 1e-5
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Normalises x [..., C] over all axes but the last.

    `train` uses the batch's statistics and updates the running ones, in the
    collection `batch_stats`.
    """
    channels = (x.shape[-1],)
    scale = self.param('scale', nn.initializers.ones, channels, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros, channels, jnp.float32)

    def running(name, value):
      return self.variable(
        'batch_stats', name, jnp.full, channels, value, jnp.float32
      )

    counter = self.variable('batch_stats', 'counter', jnp.int32, 0)
    mean_average, mean_hidden = running('mean', 0), running('mean_hidden', 0)
    var_average, var_hidden = running('var', 1), running('var_hidden', 0)
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    mean, var = mean_average.value, var_average.value
    if train:
      axes = tuple(range(x.ndim - 1))
      mean = jnp.mean(x, axes, dtype)
      var = jnp.mean(jnp.square(x.astype(dtype)), axes) - jnp.square(mean)
    if train and not self.is_initializing():
      counter.value += 1
      for average, hidden, value in (
        (mean_average, mean_hidden, mean),
        (var_average, var_hidden, var),
      ):
        hidden.value = hidden.value * self.decay + value * (1 - self.decay)
        average.value = hidden.value / (1 - self.decay**counter.value)
    inv = lax.rsqrt(var + self.epsilon) * scale
    x = (x - mean) * inv + bias
    return x.astype(self.dtype or dtype)


class ConvDownsample(nn.Module):
  """7x7 convolutions and 3x3 max-pools of stride 2: each layer a quarter.

  Padding is SAME, thus uneven: 2 before and 3 after for the convolution of an
  even size.

  Attributes:
    channels: C of every layer.
    num_layers: each halves height and width twice.
    batch_norm: normalise after each convolution.
  """

  channels: int = 64
  num_layers: int = 1
  batch_norm: bool = True
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps [B, H, W, C'] to [B, ~H / 4^layers, ~W / 4^layers, C]."""
    for i in range(self.num_layers):
      x = nn.Conv(
        self.channels,
        kernel_size=(7, 7),
        strides=2,
        padding='SAME',
        use_bias=False,
        kernel_init=initializers.fan_in_truncated,
        dtype=self.dtype,
        name=f'conv_{i}',
      )(whole_examples(x))
      x = whole_examples(x)
      if self.batch_norm:
        x = BatchNorm(dtype=self.dtype, name=f'batch_norm_{i}')(x, train)
      x = nn.relu(x)
      x = nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding='SAME')
    return x

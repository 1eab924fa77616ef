"""A plain Vision Transformer whose attention is a field.

Dosovitskiy et al. 2020, arXiv 2010.11929, with the sizes and the linear head of
DeiT-small (Touvron et al. 2020, arXiv 2012.12877); no dropout, no stochastic
depth. Any module that maps tokens [B, N, C] to the same shape may stand in for
its self-attention:

  ViT()                                              # all attend to all
  ViT(attention=SelfAttention(6, Linformer(rank=64)))
  ViT(attention=PacaSelfAttention(6, clustering, grid=(14, 14)))  # paca_vit's

Letters: B batch, N tokens, C channels, H heads, D = C / H, R rank.
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from baselines import attention
from perceiver_paca.ops import attention as attention_ops

Initializer = nn.initializers.Initializer

_normal = nn.initializers.truncated_normal(0.02)
_LayerNorm = functools.partial(
  nn.LayerNorm, epsilon=1e-6, use_fast_variance=False
)


class SelfAttention(nn.Module):
  """Multi-head attention of tokens to tokens.

  Attributes:
    num_heads: H; divides the channels.
    attend: maps q, k, v [B, N, H, D] to [B, N, H, D]: a function, such as
      those of `baselines.attention`, or a module.
    kernel_init: of the projections' kernels.
  """

  num_heads: int
  attend: Callable[..., jax.Array] = attention_ops.attention
  kernel_init: Initializer = _normal

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps x [B, N, C] to the same shape.

    Raises:
      ValueError: if the heads do not divide the channels.
    """
    channels = x.shape[-1]
    if channels % self.num_heads:
      raise ValueError(
        f'num_heads: found {self.num_heads}, expected a divisor of the '
        f'{channels} channels.'
      )
    dense = functools.partial(nn.Dense, channels, kernel_init=self.kernel_init)
    q, k, v = (
      dense(name=name)(x).reshape(*x.shape[:2], self.num_heads, -1)
      for name in ('query', 'key', 'value')
    )
    return dense(name='output')(self.attend(q, k, v).reshape(x.shape))


class Linformer(nn.Module):
  """`attention.linformer` with its projections, learned for one length."""

  rank: int

  @nn.compact
  def __call__(self, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    shape = self.rank, k.shape[1]
    init = nn.initializers.normal(shape[1] ** -0.5)
    projections = (
      self.param(name, init, shape)
      for name in ('key_projection', 'value_projection')
    )
    return attention.linformer(q, k, v, *projections)


class Block(nn.Module):
  """Attention and an MLP, each normalised before and residual.

  Attributes:
    attention: what the block's own is a copy of.
    mlp_ratio: hidden channels over channels.
    kernel_init: of the MLP's kernels.
  """

  attention: nn.Module
  mlp_ratio: int = 4
  kernel_init: Initializer = _normal

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps x [B, N, C] to the same shape."""
    channels = x.shape[-1]
    dense = functools.partial(nn.Dense, kernel_init=self.kernel_init)
    x += self.attention.copy(name='self_attention')(_LayerNorm(name='norm')(x))
    hidden = dense(self.mlp_ratio * channels, name='mlp_hidden')(
      _LayerNorm(name='mlp_norm')(x)
    )
    hidden = nn.gelu(hidden, approximate=False)
    return x + dense(channels, name='mlp_output')(hidden)


class ViT(nn.Module):
  """An image classifier; the defaults are DeiT-small's.

  Attributes:
    attention: what each block's attention is a copy of.
    class_token: whether a learned token before the patches' gathers what the
      classes are read from; if not, it is the mean of all tokens.
    kernel_init: of all kernels but the attention's, which has its own. The
      default is for widths like DeiT's: at 24 channels layers that begin so
      hardly pass anything on.
    position_init: of the learned positions.
    image_size: height and width that images must have; None for any.
  """

  attention: nn.Module = SelfAttention(num_heads=6)
  num_classes: int = 1000
  patch_size: int = 16
  channels: int = 384
  num_layers: int = 12
  mlp_ratio: int = 4
  class_token: bool = True
  kernel_init: Initializer = _normal
  position_init: Initializer = _normal
  image_size: tuple[int, int] | None = None

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Maps images to logits [B, num_classes].

    Args:
      images: [B, height, width, 3], of the size that it was initialised with.

    Raises:
      ValueError: if the images cannot be cut into patches, or are of another
        size than `image_size`.
    """
    size = self.patch_size
    if images.ndim != 4 or images.shape[1] % size or images.shape[2] % size:
      raise ValueError(
        'images: expected [batch, height, width, channels], both sides '
        f'multiples of patch_size = {size}, found {images.shape}.'
      )
    if self.image_size and images.shape[1:3] != tuple(self.image_size):
      raise ValueError(
        f'image_size: found {tuple(self.image_size)}, expected that of the '
        f'images, {images.shape[1:3]}.'
      )
    x = nn.Conv(
      self.channels,
      (size, size),
      strides=size,
      kernel_init=self.kernel_init,
      name='patches',
    )(images)
    x = x.reshape(x.shape[0], -1, self.channels)
    if self.class_token:
      token = self.param('class_token', _normal, (1, self.channels))
      token = jnp.broadcast_to(token, (x.shape[0], *token.shape))
      x = jnp.concatenate([token, x], axis=1)
    x += self.param('positions', self.position_init, x.shape[1:])
    for i in range(self.num_layers):
      x = Block(
        self.attention, self.mlp_ratio, self.kernel_init, name=f'block_{i}'
      )(x)
    x = _LayerNorm(name='norm')(x)
    x = x[:, 0] if self.class_token else jnp.mean(x, axis=1)
    return nn.Dense(
      self.num_classes, kernel_init=self.kernel_init, name='head'
    )(x)


def make_vit(
  make_attention: str,
  attention: Mapping[str, Any],
  image_size: tuple[int, int],
  patch_size: int,
  channels: int,
  num_heads: int,
  num_layers: int,
  mlp_ratio: int,
  num_classes: int,
) -> ViT:
  """A small ViT without a class token, whose attention a config names.

  Its kernels, and those of any attention, begin by their fan-in (LeCun's), and
  so patches of images are numbers about 1; positions begin as large as that.

  Args:
    make_attention: the dotted name of a function as in `baselines.attentions`.
    attention: its options beside the sizes.
    num_heads: of each attention.
    image_size, patch_size, channels, num_layers, mlp_ratio, num_classes: as
      `ViT`'s.
  """
  module, _, name = make_attention.rpartition('.')
  make = getattr(importlib.import_module(module), name)
  grid = tuple(side // patch_size for side in image_size)
  kernel_init = nn.initializers.lecun_normal()
  made = make(num_heads, grid, channels, **attention)
  return ViT(
    attention=made.copy(kernel_init=kernel_init),
    num_classes=num_classes,
    patch_size=patch_size,
    channels=channels,
    num_layers=num_layers,
    mlp_ratio=mlp_ratio,
    class_token=False,
    kernel_init=kernel_init,
    position_init=nn.initializers.normal(0.5),
    image_size=tuple(image_size),
  )

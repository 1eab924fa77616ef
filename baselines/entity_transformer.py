"""The entity encoder of AlphaStar (Vinyals et al. 2019), a Transformer.

What Perceiver IO replaces in StarCraft II (Jaegle et al. 2021b, appendix B): 3
layers of self-attention with 2 heads of 128 channels and an MLP with 1,024
hidden ones, on 512 entities of 256 channels. Neither source says where it
normalises: before attention and MLP here.

Letters: B batch, M entities, C channels, H heads.
"""

import functools

import jax
from flax import linen as nn

from perceiver_paca.ops import attention as attention_ops

Dtype = jax.typing.DTypeLike


class EntityTransformer(nn.Module):
  """Entities attend to all entities.

  Attributes:
    num_layers: layers.
    num_heads: H; divides the entities' channels.
    mlp_channels: hidden ones.
    dtype: to compute in; the widest of inputs and parameters if None.
  """

  num_layers: int
  num_heads: int
  mlp_channels: int
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, entities: jax.Array, entity_mask: jax.Array) -> jax.Array:
    """Maps entities [B, M, C], of which those with 1 in entity_mask [B, M]
    count, to [B, M, C].

    Raises:
      ValueError: if the heads do not divide the channels.
    """
    x, channels = entities, entities.shape[-1]
    if channels % self.num_heads:
      raise ValueError(
        f'entities: found {channels} channels, expected a multiple of '
        f'num_heads = {self.num_heads}.'
      )
    dense = functools.partial(nn.Dense, dtype=self.dtype)
    norm = functools.partial(
      nn.LayerNorm, epsilon=1e-5, use_fast_variance=False, dtype=self.dtype
    )
    for i in range(self.num_layers):
      normed = norm(name=f'norm_{i}')(x)
      q, k, v = (
        dense(channels, name=f'{name}_{i}')(normed).reshape(
          *x.shape[:2], self.num_heads, -1
        )
        for name in ('query', 'key', 'value')
      )
      attended = attention_ops.attention(
        q, k, v, key_mask=entity_mask.astype(bool)
      )
      x += dense(channels, name=f'output_{i}')(attended.reshape(x.shape))
      normed = norm(name=f'mlp_norm_{i}')(x)
      hidden = nn.relu(dense(self.mlp_channels, name=f'mlp_hidden_{i}')(normed))
      x += dense(channels, name=f'mlp_output_{i}')(hidden)
    return x

"""BERT (Devlin et al. 2018, arXiv 1810.04805) for masked language modelling.

Post-normalised, exact GELU, normalisation epsilon 1e-12, and the head of its
masked language model: a linear map, GELU, normalisation, the tied embedding.
Neither segments nor the pooled output, which masked language modelling does
without. No dropout, as in what it is compared with here; in place of the
original's own attention that of `perceiver_paca.ops`.

Letters: B batch, M tokens, C channels, H heads, V ids of the vocabulary.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_paca.ops import attention as attention_ops

Dtype = jax.typing.DTypeLike

_normal = nn.initializers.truncated_normal(0.02)
_LayerNorm = functools.partial(
  nn.LayerNorm, epsilon=1e-12, use_fast_variance=False
)
_gelu = functools.partial(nn.gelu, approximate=False)


class Layer(nn.Module):
  """Self-attention and an MLP, each normalised after its residual."""

  num_heads: int
  mlp_channels: int
  dtype: Dtype | None = None

  @nn.compact
  def __call__(
    self, x: jax.Array, input_mask: jax.Array | None
  ) -> tuple[jax.Array, None]:
    """Maps x [B, M, C] to [B, M, C] and nothing else, which `nn.scan` wants.

    input_mask is boolean [B, M].
    """
    channels = x.shape[-1]
    dense = functools.partial(nn.Dense, kernel_init=_normal, dtype=self.dtype)
    q, k, v = (
      dense(channels, name=name)(x).reshape(*x.shape[:2], self.num_heads, -1)
      for name in ('query', 'key', 'value')
    )
    attended = attention_ops.attention(q, k, v, key_mask=input_mask)
    x += dense(channels, name='output')(attended.reshape(x.shape))
    x = _LayerNorm(dtype=self.dtype, name='norm')(x)
    hidden = _gelu(dense(self.mlp_channels, name='mlp_hidden')(x))
    x += dense(channels, name='mlp_output')(hidden)
    return _LayerNorm(dtype=self.dtype, name='mlp_norm')(x), None


class Bert(nn.Module):
  """Tokens in, logits of tokens out.

  Attributes:
    vocab_size: V.
    max_length: tokens of the longest sequence.
    channels: C.
    num_layers: layers.
    num_heads: H; divides the channels.
    mlp_channels: hidden ones.
    scan_layers: make the layers a loop over one, which compiles several times
      faster.
    dtype: to compute in; float32 if None. Logits are float32.
  """

  vocab_size: int
  max_length: int
  channels: int
  num_layers: int
  num_heads: int
  mlp_channels: int
  scan_layers: bool = False
  dtype: Dtype | None = None

  @nn.compact
  def __call__(
    self,
    ids: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    query_mask: jax.Array | None = None,
  ) -> jax.Array:
    """Maps ids [B, M] to logits [B, M, V].

    Args:
      ids: token ids.
      input_mask: [B, M], 1 for tokens, 0 for padding.
      query_mask: not used; every position is decoded.

    Raises:
      ValueError: for sequences too long, and heads that do not fit.
    """
    del query_mask
    length = ids.shape[1]
    if length > self.max_length:
      raise ValueError(
        f'ids: found {length} tokens, expected at most max_length = '
        f'{self.max_length}.'
      )
    if self.channels % self.num_heads:
      raise ValueError(
        f'channels: found {self.channels}, expected a multiple of num_heads '
        f'= {self.num_heads}.'
      )
    embedding = self.param(
      'embedding', _normal, (self.vocab_size, self.channels), jnp.float32
    )
    positions = self.param(
      'positions', _normal, (self.max_length, self.channels), jnp.float32
    )
    x = embedding[ids] + positions[:length]
    x = _LayerNorm(dtype=self.dtype, name='embedding_norm')(x)
    mask = None if input_mask is None else input_mask.astype(bool)
    sizes = self.num_heads, self.mlp_channels, self.dtype
    if self.scan_layers:
      stacked = nn.scan(
        Layer,
        variable_axes={'params': 0},
        split_rngs={'params': True},
        in_axes=nn.broadcast,
        length=self.num_layers,
      )
      x, _ = stacked(*sizes, name='stacked_layer')(x, mask)
    else:
      for i in range(self.num_layers):
        x, _ = Layer(*sizes, name=f'layer_{i}')(x, mask)
    x = nn.Dense(
      self.channels, kernel_init=_normal, dtype=self.dtype, name='head'
    )(x)
    x = _LayerNorm(dtype=self.dtype, name='head_norm')(_gelu(x))
    bias = self.param(
      'bias', nn.initializers.zeros, (self.vocab_size,), jnp.float32
    )
    logits = jnp.einsum(
      'bmc,vc->bmv',
      x,
      embedding.astype(x.dtype),
      preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
    return logits + bias

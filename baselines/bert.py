"""BERT (Devlin et al. 2018, arXiv 1810.04805), for language and sentences.

Post-normalised, exact GELU, normalisation epsilon 1e-12, and the head of its
masked language model: a linear map, GELU, normalisation, the tied embedding.
Neither segments nor the pooled output, which masked language modelling does
without; a task on sentences brings layers of its own. No dropout, as in what it
is compared with here; in place of the original's own attention that of
`perceiver_paca.ops`.

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


class Encoder(nn.Module):
  """Tokens in, features of tokens out.

  Attributes:
    vocab_size: V.
    max_length: tokens of the longest sequence.
    channels: C.
    num_layers: layers.
    num_heads: H; divides the channels.
    mlp_channels: hidden ones.
    scan_layers: make the layers a loop over one, which compiles several times
      faster.
    dtype: to compute in; float32 if None.
  """

  vocab_size: int
  max_length: int
  channels: int
  num_layers: int
  num_heads: int
  mlp_channels: int
  scan_layers: bool = False
  dtype: Dtype | None = None

  def setup(self):
    if self.channels % self.num_heads:
      raise ValueError(
        f'channels: found {self.channels}, expected a multiple of num_heads '
        f'= {self.num_heads}.'
      )
    self.embedding = self.param(
      'embedding', _normal, (self.vocab_size, self.channels), jnp.float32
    )
    self.positions = self.param(
      'positions', _normal, (self.max_length, self.channels), jnp.float32
    )
    self.embedding_norm = _LayerNorm(dtype=self.dtype)
    sizes = self.num_heads, self.mlp_channels, self.dtype
    if self.scan_layers:
      stacked = nn.scan(
        Layer,
        variable_axes={'params': 0},
        split_rngs={'params': True},
        in_axes=nn.broadcast,
        length=self.num_layers,
      )
      self.stacked_layer = stacked(*sizes)
    else:
      self.layer = [Layer(*sizes) for _ in range(self.num_layers)]

  def encode(self, ids: jax.Array, input_mask: jax.Array | None) -> jax.Array:
    """Maps ids [B, M], tokens where input_mask [B, M] is 1, to [B, M, C].

    Raises:
      ValueError: for sequences too long, and heads that do not fit.
    """
    length = ids.shape[1]
    if length > self.max_length:
      raise ValueError(
        f'ids: found {length} tokens, expected at most max_length = '
        f'{self.max_length}.'
      )
    x = self.embedding_norm(self.embedding[ids] + self.positions[:length])
    mask = None if input_mask is None else input_mask.astype(bool)
    if self.scan_layers:
      return self.stacked_layer(x, mask)[0]
    for layer in self.layer:
      x, _ = layer(x, mask)
    return x


class Bert(Encoder):
  """Tokens in, logits of tokens out, float32."""

  def setup(self):
    super().setup()
    self.head = nn.Dense(self.channels, kernel_init=_normal, dtype=self.dtype)
    self.head_norm = _LayerNorm(dtype=self.dtype)
    self.bias = self.param(
      'bias', nn.initializers.zeros, (self.vocab_size,), jnp.float32
    )

  def __call__(
    self,
    ids: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    query_mask: jax.Array | None = None,
    points: jax.Array | None = None,
  ) -> jax.Array:
    """Maps ids [B, M] to logits [B, O, V].

    Args:
      ids: token ids.
      input_mask: [B, M], 1 for tokens, 0 for padding.
      query_mask: not used.
      points: positions to decode [B, O]; None for all M.

    Raises:
      ValueError: as `encode`.
    """
    del query_mask
    x = self.encode(ids, input_mask)
    if points is not None:
      x = jnp.take_along_axis(x, points[..., None], axis=1)
    x = self.head_norm(_gelu(self.head(x)))
    logits = jnp.einsum(
      'bmc,vc->bmv',
      x,
      self.embedding.astype(x.dtype),
      preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
    )
    return logits + self.bias


class FirstToken(Encoder):
  """Tokens in, features of the first one, [CLS], out: a sentence's."""

  def __call__(
    self, ids: jax.Array, input_mask: jax.Array, task: jax.Array
  ) -> jax.Array:
    """Maps ids and input_mask [B, M] to [B, C]; the task [B] is not used."""
    del task
    return self.encode(ids, input_mask)[:, 0]

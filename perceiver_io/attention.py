"""Attention layers of Perceiver IO (Jaegle et al. 2021b, appendix E).

Pre-normalised; layer normalisation and GELU as in the reference code: epsilon
1e-5, tanh form.

Letters: B batch, N queries, M inputs, C channels, H heads.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_paca import layers
from perceiver_paca.ops import attention as attention_ops
from perceiver_paca.ops import folded_attention, product
from perceiver_paca.ops.mesh import examples_apart

Dtype = jax.typing.DTypeLike

LayerNorm = functools.partial(layers.LayerNorm, epsilon=1e-5)
Dense = functools.partial(nn.Dense, dot_general=product.dot_general)


class LinearMap(nn.Module):
  """The weights of a linear map, for a caller that may rearrange its use."""

  channels: int

  @nn.compact
  def __call__(self, in_channels: int) -> tuple[jax.Array, jax.Array]:
    """Returns a kernel [in_channels, channels] and a bias [channels]."""
    shape = in_channels, self.channels
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), shape, jnp.float32
    )
    return kernel, self.param(
      'bias', nn.initializers.zeros, shape[1:], jnp.float32
    )


class Attention(nn.Module):
  """Multi-head attention with separate query/key and value widths.

  Attributes:
    num_heads: H; divides both widths.
    qk_channels: of all heads together; the inputs' channels if None.
    v_channels: of all heads together; qk_channels if None.
    output_channels: v_channels if None.
    implementation: see `perceiver_paca.ops.attention.attention`.
    fold_projections: compute no keys and values of the inputs where that takes
      fewer operations (see `perceiver_paca.ops.folded_attention`); the result
      is the same.
    dtype: to compute in; the widest of inputs and parameters if None.
  """

  num_heads: int
  qk_channels: int | None = None
  v_channels: int | None = None
  output_channels: int | None = None
  implementation: attention_ops.Implementation = 'auto'
  fold_projections: bool = True
  dtype: Dtype | None = None

  @nn.compact
  def __call__(
    self,
    queries: jax.Array,
    inputs: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    query_mask: jax.Array | None = None,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Attends from queries to inputs.

    Args:
      queries: [B, N, C].
      inputs: [B, M, C'].
      input_mask: [B, M], query_mask: [B, N], mask: [B, N, M]; True or 1 for
        what counts. A query that is left without any input, or is masked
        itself, gets the bias of the output projection and nothing else.

    Returns:
      [B, N, output_channels].

    Raises:
      ValueError: if the heads do not divide the widths, or a mask has another
        shape.
    """
    qk_channels = self.qk_channels or inputs.shape[-1]
    v_channels = self.v_channels or qk_channels
    for name, channels in (
      ('qk_channels', qk_channels),
      ('v_channels', v_channels),
    ):
      if channels % self.num_heads:
        raise ValueError(
          f'{name}: found {channels}, expected a multiple of num_heads = '
          f'{self.num_heads}.'
        )
    query = LinearMap(qk_channels, name='query')(queries.shape[-1])
    key = LinearMap(qk_channels, name='key')(inputs.shape[-1])
    value = LinearMap(v_channels, name='value')(inputs.shape[-1])
    queries, inputs, *weights = nn.dtypes.promote_dtype(
      queries, inputs, *query, *key, *value, dtype=self.dtype
    )
    wq, bq, wk, bk, wv, bv = (self._split_heads(w) for w in weights)
    q = _project(queries, wq, bq)
    options = {
      'key_mask': _as_bool(input_mask),
      'query_mask': _as_bool(query_mask),
      'mask': _as_bool(mask),
      'implementation': self.implementation,
    }
    if self.fold_projections and folded_attention.folding_saves(
      n=q.shape[1],
      m=inputs.shape[1],
      c=inputs.shape[2],
      h=self.num_heads,
      d=wk.shape[-1],
      e=wv.shape[-1],
    ):
      out = folded_attention.folded_attention(q, inputs, wk, wv, bv, **options)
    else:
      k, v = _project(inputs, wk, bk), _project(inputs, wv, bv)
      out = attention_ops.attention(q, k, v, **options)
    return Dense(
      self.output_channels or v_channels, dtype=self.dtype, name='output'
    )(out.reshape(*out.shape[:2], v_channels))

  def _split_heads(self, weights: jax.Array) -> jax.Array:
    """[..., H D] -> [..., H, D]: heads lie side by side."""
    return weights.reshape(*weights.shape[:-1], self.num_heads, -1)


def _project(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
  """[B, N, C], [C, H, D] and [H, D] -> [B, N, H, D]."""
  flat = product.dot_general(x, kernel.reshape(kernel.shape[0], -1))
  return flat.reshape(*x.shape[:-1], *bias.shape) + bias


def _as_bool(mask: jax.Array | None) -> jax.Array | None:
  return None if mask is None else mask.astype(bool)


class Mlp(nn.Module):
  """Two linear maps around a GELU, widening_factor * C hidden channels."""

  widening_factor: int = 1
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels = x.shape[-1]
    x = Dense(self.widening_factor * channels, dtype=self.dtype, name='hidden')(
      x
    )
    x = examples_apart(nn.gelu(x, approximate=True))
    return Dense(channels, dtype=self.dtype, name='output')(x)


class SelfAttention(nn.Module):
  """A self-attention and an MLP, both residual.

  Attributes: as `Attention`'s and `Mlp`'s. The value width must be the latents'
  own, since the output has it and is added to them.
  """

  num_heads: int
  qk_channels: int | None = None
  v_channels: int | None = None
  widening_factor: int = 1
  implementation: attention_ops.Implementation = 'auto'
  dtype: Dtype | None = None

  @nn.compact
  def __call__(
    self, x: jax.Array, *, mask: jax.Array | None = None
  ) -> jax.Array:
    """Maps x [B, N, C] to [B, N, C]; mask [B, N, N] as in `Attention`."""
    normed = LayerNorm(dtype=self.dtype, name='norm')(x)
    attended = Attention(
      num_heads=self.num_heads,
      qk_channels=self.qk_channels,
      v_channels=self.v_channels,
      implementation=self.implementation,
      fold_projections=False,  # there are as many inputs as queries
      dtype=self.dtype,
      name='attention',
    )(normed, normed, mask=mask)
    if attended.shape != x.shape:
      raise ValueError(
        f'v_channels: found {attended.shape[-1]}, expected the '
        f'{x.shape[-1]} channels that self-attention is added to.'
      )
    x += attended
    normed = LayerNorm(dtype=self.dtype, name='mlp_norm')(x)
    return x + Mlp(self.widening_factor, self.dtype, name='mlp')(normed)


class CrossAttention(nn.Module):
  """Attention from queries to inputs, and a residual MLP.

  It encodes (latents query the inputs) and decodes (output queries query the
  latents). The MLP's residual is there with or without the queries'.

  Attributes: as `Attention`'s and `Mlp`'s, and
    use_query_residual: add the queries to what they gathered.
  """

  num_heads: int
  qk_channels: int | None = None
  v_channels: int | None = None
  widening_factor: int = 1
  use_query_residual: bool = True
  implementation: attention_ops.Implementation = 'auto'
  fold_projections: bool = True
  dtype: Dtype | None = None

  @nn.compact
  def __call__(
    self,
    queries: jax.Array,
    inputs: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    query_mask: jax.Array | None = None,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Maps queries [B, N, C] and inputs [B, M, C'] to [B, N, C].

    Masks as in `Attention`. A masked query still passes the bias, its residual
    and the MLP: its output is not zero.
    """
    x = Attention(
      num_heads=self.num_heads,
      qk_channels=self.qk_channels,
      v_channels=self.v_channels,
      output_channels=queries.shape[-1],
      implementation=self.implementation,
      fold_projections=self.fold_projections,
      dtype=self.dtype,
      name='attention',
    )(
      LayerNorm(dtype=self.dtype, name='query_norm')(queries),
      LayerNorm(dtype=self.dtype, name='input_norm')(inputs),
      input_mask=input_mask,
      query_mask=query_mask,
      mask=mask,
    )
    if self.use_query_residual:
      x += queries
    normed = LayerNorm(dtype=self.dtype, name='mlp_norm')(x)
    return x + Mlp(self.widening_factor, self.dtype, name='mlp')(normed)

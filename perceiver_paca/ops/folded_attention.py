"""Attention to inputs whose key and value projections need not be computed.

With keys x Wk + bk and values x Wv + bv of inputs x,

  q (x Wk + bk)^T = (q Wk^T) x^T + a constant of the query
  A (x Wv + bv) = (A x) Wv + bv,  for weights A that sum to 1

and softmax ignores a constant of the query: with few queries and many inputs
the projections of the inputs disappear, exactly.

Letters: B batch, N queries, M inputs, C their channels, H heads, D and E widths
of a query/key and of a value.
"""

import jax
import jax.numpy as jnp

from perceiver_paca.ops import attention


def folding_saves(n: int, m: int, c: int, h: int, d: int, e: int) -> bool:
  """Whether folding takes fewer multiply-adds than projecting the inputs."""
  projected = m * c * h * (d + e) + n * m * h * (d + e)
  folded = n * c * h * (d + e) + 2 * n * m * h * c
  return folded < projected


def folded_attention(
  q: jax.Array,
  inputs: jax.Array,
  key_kernel: jax.Array,
  value_kernel: jax.Array,
  value_bias: jax.Array,
  *,
  key_mask: jax.Array | None = None,
  query_mask: jax.Array | None = None,
  mask: jax.Array | None = None,
  implementation: attention.Implementation = 'auto',
) -> jax.Array:
  """`attention` with keys and values projected from `inputs`, without them.

  All heads share the inputs as their keys, so heads become queries. There is no
  key bias: it changes nothing.

  Args:
    q: [B, N, H, D].
    inputs: [B, M, C].
    key_kernel: [C, H, D].
    value_kernel: [C, H, E].
    value_bias: [H, E].
    key_mask, query_mask, mask, implementation: as `attention`'s.

  Returns:
    [B, N, H, E], 0 for a query without keys.
  """
  b, n, h, d = q.shape
  q = jnp.einsum('bnhd,chd->bnhc', q, key_kernel)
  shared = inputs[:, :, None]

  def per_head(x):
    return None if x is None else jnp.repeat(x, h, axis=1)

  averages = attention.attention(
    q.reshape(b, n * h, 1, -1),
    shared,
    shared,
    key_mask=key_mask,
    query_mask=per_head(query_mask),
    mask=per_head(mask),
    scale=d**-0.5,
    implementation=implementation,
  ).reshape(b, n, h, -1)
  out = jnp.einsum('bnhc,che->bnhe', averages, value_kernel) + value_bias
  attends = attention.queries_with_keys(key_mask, query_mask, mask)
  if attends is not None:
    out = jnp.where(attends[..., None, None], out, 0)
  return out

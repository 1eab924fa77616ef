"""Multi-head attention over arrays that are already split into heads."""

import math

import jax
import jax.numpy as jnp


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
  """softmax(q k^T / sqrt(D)) v, the softmax in float32 or wider.

  Args:
    q: [B, N, H, D] queries.
    k: [B, M, H, D] keys.
    v: [B, M, H, V] values.

  Returns:
    [B, N, H, V] in the dtype of `v`.
  """
  logits = jnp.einsum(
    'BNHD,BMHD->BHNM',
    q,
    k,
    preferred_element_type=jnp.promote_types(q.dtype, jnp.float32),
  )
  weights = jax.nn.softmax(logits / math.sqrt(q.shape[-1]))
  return jnp.einsum('BHNM,BMHV->BNHV', weights.astype(v.dtype), v)

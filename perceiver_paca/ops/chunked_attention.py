"""Exact attention that never holds all logits: online softmax in plain XLA.

Milakov & Gimelshein 2018 (arXiv 1805.02867) give the running softmax, Rabe &
Staats 2021 (arXiv 2112.05682) its use for attention, Dao et al. 2022 (arXiv
2205.14135, appendix B) the backward pass from the output and the log-sum-exp.

Letters: B batch, N queries, M keys, H heads, D and E widths of a query/key and
of a value; n, m positions in a chunk.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

# What the reference code puts where a mask is zero. Finite, so that a row
# without any key stays finite (a uniform average) until its caller zeroes it.
MASKED = -1e30


# The most positions of a chunk.
_QUERY_CHUNK, _KEY_CHUNK = 2048, 512


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def chunked_attention(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  mask: jax.Array | None,
  scale: float,
  query_chunk: int = _QUERY_CHUNK,
  key_chunk: int = _KEY_CHUNK,
) -> jax.Array:
  """softmax(scale * q k^T) v over chunks of queries and keys.

  The backward pass recomputes the logits of a chunk; from the forward pass it
  keeps the output and one number per query. Chunks of keys and values are
  sliced where they lie: a transposed or padded copy of a long input would cost
  more than everything else here.

  Args:
    q: [B, N, H, D].
    k: [B, M, H, D].
    v: [B, M, H, E].
    mask: boolean [B, 1 or N, M], True where a key counts, or None.
    scale: what the logits are multiplied by.
    query_chunk, key_chunk: the most positions of a chunk. As long as one chunk
      has all queries, the gradients of keys and values need no full-precision
      sums beside them.

  Returns:
    [B, N, H, E], of v's type. A row without any key is finite but meaningless.
  """
  return forward(q, k, v, mask, scale, query_chunk, key_chunk)[0]


def _slice(x, start, size, axis=1):
  return lax.dynamic_slice_in_dim(x, start, size, axis)


def _update(x, update, start, axis=1):
  return lax.dynamic_update_slice_in_dim(x, update, start, axis)


def _chunks(length: int, size: int):
  """The size and number of chunks, and i -> (start, fresh [size]).

  The last chunk is moved back so that it ends with the array; `fresh` is False
  at its positions that the chunk before has covered, None if there are none.
  """
  size = min(size, length)
  number = -(-length // size)

  def at(i):
    start = jnp.minimum(i * size, length - size)
    if number * size == length:
      return start, None
    return start, start + jnp.arange(size) >= i * size

  return size, number, at


def _logits(q, k, mask, scale, query_start, key_start, fresh):
  """Logits [B, H, n, m] of a chunk, -inf for keys that are not fresh."""
  dtype = jnp.promote_types(q.dtype, jnp.float32)
  logits = jnp.einsum('bnhd,bmhd->bhnm', q, k, preferred_element_type=dtype)
  logits *= scale
  if mask is not None:
    mask = _slice(mask, key_start, k.shape[1], axis=2)
    if mask.shape[1] > 1:
      mask = _slice(mask, query_start, q.shape[1])
    logits = jnp.where(mask[:, None], logits, MASKED)
  if fresh is not None:
    logits = jnp.where(fresh, logits, -jnp.inf)
  return logits


def forward(
  q,
  k,
  v,
  mask,
  scale,
  query_chunk=_QUERY_CHUNK,
  key_chunk=_KEY_CHUNK,
  out_dtype=None,
):
  """Returns the output, of v's type if None is said, and the log-sum-exp.

  The latter, [B, H, N], is that of the logits. Arguments as
  `chunked_attention`'s.
  """
  dtype = jnp.promote_types(q.dtype, jnp.float32)
  b, n, h, _ = q.shape
  e = v.shape[-1]
  size, num_queries, query_at = _chunks(n, query_chunk)
  key_size, num_keys, key_at = _chunks(k.shape[1], key_chunk)

  def query_step(i, carry):
    out, lse = carry
    start, _ = query_at(i)  # an overlap is written twice, with one value
    q_i = _slice(q, start, size)

    def key_step(j, running):
      top, total, summed = running
      key_start, fresh = key_at(j)
      k_j = _slice(k, key_start, key_size)
      v_j = _slice(v, key_start, key_size)
      logits = _logits(q_i, k_j, mask, scale, start, key_start, fresh)
      new_top = jnp.maximum(top, jnp.max(logits, axis=-1))
      weights = jnp.exp(logits - new_top[..., None])
      shrink = jnp.exp(top - new_top)
      total = total * shrink + jnp.sum(weights, axis=-1)
      summed = summed * jnp.swapaxes(shrink, 1, 2)[..., None] + jnp.einsum(
        'bhnm,bmhe->bnhe',
        weights.astype(v.dtype),
        v_j,
        preferred_element_type=dtype,
      )
      return new_top, total, summed

    top, total, summed = lax.fori_loop(
      0,
      num_keys,
      key_step,
      (
        jnp.full((b, h, size), MASKED, dtype),
        jnp.zeros((b, h, size), dtype),
        jnp.zeros((b, size, h, e), dtype),
      ),
    )
    out_i = summed / jnp.swapaxes(total, 1, 2)[..., None]
    out = _update(out, out_i.astype(out.dtype), start)
    return out, _update(lse, top + jnp.log(total), start, axis=2)

  return lax.fori_loop(
    0,
    num_queries,
    query_step,
    (
      jnp.zeros((b, n, h, e), out_dtype or v.dtype),
      jnp.zeros((b, h, n), dtype),
    ),
  )


def _forward_rule(q, k, v, mask, scale, query_chunk, key_chunk):
  out, lse = forward(q, k, v, mask, scale, query_chunk, key_chunk)
  return out, (q, k, v, mask, out, lse)


def _backward_rule(scale, query_chunk, key_chunk, residuals, d_out):
  return *backward(residuals, d_out, scale, query_chunk, key_chunk), None


def backward(
  residuals, d_out, scale, query_chunk=_QUERY_CHUNK, key_chunk=_KEY_CHUNK
):
  """Gradients of q, k and v.

  Args:
    residuals: (q, k, v, mask, out, lse). If k, v and mask are a part of all
      keys, and out and lse those of all, then the gradient of q is this part's
      share of the sum, and those of k and v are whole.
    d_out: gradient of out.
    scale, query_chunk, key_chunk: as `chunked_attention`'s.
  """
  q, k, v, mask, out, lse = residuals
  dtype = lse.dtype
  einsum = functools.partial(jnp.einsum, preferred_element_type=dtype)
  size, num_queries, query_at = _chunks(q.shape[1], query_chunk)
  key_size, num_keys, key_at = _chunks(k.shape[1], key_chunk)
  # Sums over query chunks are kept in full precision; a single one is stored.
  sum_dtype = dtype if num_queries > 1 else k.dtype

  def query_step(i, carry):
    dq, dk, dv = carry
    start, fresh_rows = query_at(i)
    q_i, d_out_i = _slice(q, start, size), _slice(d_out, start, size)
    lse_i = _slice(lse, start, size, axis=2)[..., None]
    # A row's sum of weights * d_weights over all keys.
    delta_i = d_out_i.astype(dtype) * _slice(out, start, size).astype(dtype)
    delta_i = jnp.swapaxes(jnp.sum(delta_i, axis=-1), 1, 2)[..., None]

    def key_step(j, carry):
      dq_i, dk, dv = carry
      key_start, fresh = key_at(j)
      k_j = _slice(k, key_start, key_size)
      v_j = _slice(v, key_start, key_size)
      logits = _logits(q_i, k_j, mask, scale, start, key_start, fresh)
      weights = jnp.exp(logits - lse_i)
      if fresh_rows is not None:
        weights = jnp.where(fresh_rows[:, None], weights, 0)
      d_weights = einsum('bnhe,bmhe->bhnm', d_out_i, v_j)
      d_logits = (weights * (d_weights - delta_i) * scale).astype(q.dtype)
      weights = weights.astype(v.dtype)

      def add(total, spec, chunk, other):
        update = einsum(spec, chunk, other) + _slice(total, key_start, key_size)
        return _update(total, update.astype(total.dtype), key_start)

      dk = add(dk, 'bhnm,bnhd->bmhd', d_logits, q_i)
      dv = add(dv, 'bhnm,bnhe->bmhe', weights, d_out_i)
      return dq_i + einsum('bhnm,bmhd->bnhd', d_logits, k_j), dk, dv

    dq_i, dk, dv = lax.fori_loop(
      0, num_keys, key_step, (jnp.zeros(q_i.shape, dtype), dk, dv)
    )
    if fresh_rows is not None:  # rows of the chunk before keep their gradient
      before = _slice(dq, start, size)
      dq_i = jnp.where(fresh_rows[:, None, None], dq_i, before)
    return _update(dq, dq_i.astype(dq.dtype), start), dk, dv

  dq, dk, dv = lax.fori_loop(
    0,
    num_queries,
    query_step,
    (
      jnp.zeros(q.shape, q.dtype),
      jnp.zeros(k.shape, sum_dtype),
      jnp.zeros(v.shape, sum_dtype),
    ),
  )
  return dq, dk.astype(k.dtype), dv.astype(v.dtype)


chunked_attention.defvjp(_forward_rule, _backward_rule)

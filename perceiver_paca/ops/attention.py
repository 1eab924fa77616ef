"""Dot-product attention: one function for every size, mask and platform.

Letters: B batch, N queries, M keys, H heads, D and E widths of a query/key and
of a value.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from perceiver_paca.ops import (
  chunked_attention,
  compiling,
  fused_attention,
  mesh,
  partitioned_attention,
)

Implementation = Literal['auto', 'plain', 'chunked', 'cudnn', 'splash']

# Logits of one example, all heads, beyond which 'auto' does not hold them all:
# 64 MiB in float32.
_MAX_LOGITS = 2**24
# Likewise, of a part that another runtime computes: 256 MiB.
_MAX_LOGITS_ELSEWHERE = 2**26
# The most queries and keys of a chunk on a CPU: logits of 1 MiB in float32.
_CPU_CHUNK = 512


def attention(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  *,
  key_mask: jax.Array | None = None,
  query_mask: jax.Array | None = None,
  mask: jax.Array | None = None,
  scale: float | None = None,
  implementation: Implementation = 'auto',
) -> jax.Array:
  """softmax(scale * q k^T) v per head (Vaswani et al. 2017, equation 1).

  Logits, softmax and sums are in float32 or wider whatever the inputs' type.
  A query without any key to attend to, by any of the masks, gets 0. Under an
  ambient mesh the work is split over it, see `partitioned_attention`.

  Args:
    q: [B, N, H, D].
    k: [B, M, H, D].
    v: [B, M, H, E].
    key_mask: boolean [B, M], True for the keys that count.
    query_mask: boolean [B, N], True for the queries that count.
    mask: boolean [B, N, M], for what the two cannot say; N x M, so small.
    scale: what the logits are multiplied by, 1 / sqrt(D) if None.
    implementation: 'plain' holds all logits; 'chunked' never does, in plain
      XLA (see `chunked_attention`); 'cudnn' and 'splash' are the fused kernels
      of GPU and TPU (see `fused_attention`). 'auto' takes the platform's
      kernel for half-precision inputs within its limits, and else one of the
      first two by size. On a CPU it is always exact.

  Returns:
    [B, N, H, E], of v's type.

  Raises:
    ValueError: for inputs that do not fit together, an unknown implementation
      and one that cannot take these inputs.
  """
  _check(q, k, v, key_mask, query_mask, mask)
  if scale is None:
    scale = q.shape[-1] ** -0.5
  # A query's own mask has no place in the softmax: it zeroes the output, and so
  # all of the query's gradients.
  attends = queries_with_keys(key_mask, query_mask, mask)
  if key_mask is not None:
    mask = key_mask[:, None] if mask is None else mask & key_mask[:, None]

  attend = functools.partial(_attend, implementation=implementation)
  if mesh.is_split():
    attend = functools.partial(
      partitioned_attention.partitioned_attention, attend
    )
  out = attend(q, k, v, mask, scale)
  if attends is not None:
    out = jnp.where(attends[..., None, None], out, 0)
  return out


def _attend(q, k, v, mask, scale, implementation) -> jax.Array:
  """By the implementation, on one device or as XLA partitions it."""
  if compiling.is_for_other_runtimes():
    return _in_parts(q, k, v, mask, scale)
  on_cpu = mesh.platform() == 'cpu'
  match _choose(q, k, v, mask, implementation):
    case 'plain':
      attend = _heads_first if on_cpu else plain_attention
      return attend(q, k, v, mask, scale)
    case 'chunked':
      attend = _head_by_head if on_cpu else chunked_attention.chunked_attention
      return attend(q, k, v, mask, scale)
    case 'cudnn':
      return fused_attention.cudnn_attention(q, k, v, mask, scale)
    case 'splash':
      return fused_attention.splash_attention(q, k, v, mask, scale)


def queries_with_keys(key_mask, query_mask, mask) -> jax.Array | None:
  """Which queries have a key to attend to: [B, 1 or N], None for all.

  Args: as `attention`'s.
  """
  if key_mask is not None:
    mask = key_mask[:, None] if mask is None else mask & key_mask[:, None]
  attends = None if mask is None else jnp.any(mask, axis=-1)
  if query_mask is not None:
    attends = query_mask if attends is None else query_mask & attends
  return attends


def plain_attention(q, k, v, mask, scale) -> jax.Array:
  """The reference: all logits at once. Arguments as `chunked_attention`'s."""
  logits = _logits('bnhd,bmhd->bhnm', q, k, mask, scale)
  weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
  out = jnp.einsum(
    'bhnm,bmhe->bnhe', weights, v, preferred_element_type=logits.dtype
  )
  return out.astype(v.dtype)


def _logits(products, q, k, mask, scale) -> jax.Array:
  """All of them, [B, H, N, M], by an einsum of q and k."""
  dtype = jnp.promote_types(q.dtype, jnp.float32)
  logits = jnp.einsum(products, q, k, preferred_element_type=dtype) * scale
  if mask is None:
    return logits
  return jnp.where(mask[:, None], logits, chunked_attention.MASKED)


def _heads_first(q, k, v, mask, scale) -> jax.Array:
  """`plain_attention` as a CPU computes it in least time.

  The matrices of a product lie one after the other, and what is divided by the
  softmax's sums are the outputs, mostly fewer than the weights.
  """
  q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
  logits = _logits('bhnd,bhmd->bhnm', q, k, mask, scale)
  top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
  weights = jnp.exp(logits - top)
  out = jnp.einsum(
    'bhnm,bhme->bhne',
    weights.astype(v.dtype),
    v,
    preferred_element_type=logits.dtype,
  )
  out /= jnp.sum(weights, axis=-1, keepdims=True)
  return jnp.swapaxes(out, 1, 2).astype(v.dtype)


def _head_by_head(q, k, v, mask, scale) -> jax.Array:
  """`chunked_attention` on a CPU: chunks of one head stay in its cache."""

  # All of a length, so that the last one computes little twice.
  chunks = [-(-x.shape[1] // -(-x.shape[1] // _CPU_CHUNK)) for x in (q, k)]

  def attend(head):
    return chunked_attention.chunked_attention(*head, mask, scale, *chunks)

  if q.shape[2] == 1:
    return attend((q, k, v))
  heads = [jnp.moveaxis(x, 2, 0)[..., None, :] for x in (q, k, v)]
  return jnp.moveaxis(lax.map(attend, heads)[..., 0, :], 0, 2)


def _in_parts(q, k, v, mask, scale) -> jax.Array:
  """`plain_attention` of so many queries at a time as may be held, no loop."""
  _, n, h, _ = q.shape
  size = max(1, _MAX_LOGITS_ELSEWHERE // (h * k.shape[1]))
  has_rows = mask is not None and mask.shape[1] > 1
  parts = []
  for start in range(0, n, size):
    rows = slice(start, start + size)
    seen = mask[:, rows] if has_rows else mask
    parts.append(plain_attention(q[:, rows], k, v, seen, scale))
  return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)


def _choose(q, k, v, mask, implementation) -> Implementation:
  if implementation not in get_args(Implementation):
    raise ValueError(
      f'implementation: found {implementation!r}, expected one of '
      f'{get_args(Implementation)}.'
    )
  refusals = {
    'cudnn': fused_attention.cudnn_refusal,
    'splash': fused_attention.splash_refusal,
  }
  if implementation in refusals:
    refusal = refusals[implementation](q, k, v, mask)
    if refusal is not None:
      raise ValueError(f'implementation {implementation!r}: {refusal}.')
    return implementation
  if implementation != 'auto':
    return implementation

  num_logits = q.shape[2] * q.shape[1] * k.shape[1]
  # cuDNN would turn a mask into a bias of [B, N, M].
  if mask is None and fused_attention.cudnn_refusal(q, k, v, mask) is None:
    return 'cudnn'
  if num_logits <= _MAX_LOGITS:
    return 'plain'
  if (
    mesh.platform() == 'tpu'
    and q.dtype == jnp.bfloat16
    and fused_attention.splash_refusal(q, k, v, mask) is None
    and mesh.is_local()
  ):
    return 'splash'
  return 'chunked'


def _check(q, k, v, key_mask, query_mask, mask):
  if not q.ndim == k.ndim == v.ndim == 4:
    raise ValueError(
      'q, k, v: expected [batch, length, heads, width], found shapes '
      f'{q.shape}, {k.shape}, {v.shape}.'
    )
  if not q.dtype == k.dtype == v.dtype:
    raise ValueError(
      f'q, k, v: expected one type, found {q.dtype}, {k.dtype}, {v.dtype}.'
    )
  b, n, h, d = q.shape
  m = k.shape[1]
  for name, x, shape in (
    ('k', k, (b, m, h, d)),
    ('v', v, (b, m, h, v.shape[-1])),
    ('key_mask', key_mask, (b, m)),
    ('query_mask', query_mask, (b, n)),
    ('mask', mask, (b, n, m)),
  ):
    if x is not None and x.shape != shape:
      raise ValueError(
        f'{name}: found shape {x.shape}, expected {shape} for q of {q.shape}.'
      )
    if x is not None and 'mask' in name and x.dtype != bool:
      raise ValueError(f'{name}: found type {x.dtype}, expected bool.')

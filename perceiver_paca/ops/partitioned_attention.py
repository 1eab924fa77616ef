"""Attention split over the devices of the ambient mesh.

Examples go over the mesh's batch axes, heads over its axis 'tensor', and over
its axis 'inputs' whatever is longer: of few keys every device gets all, and of
many its share. The partial results are then combined as an online softmax
combines its chunks (see `chunked_attention`), in the backward pass, too, so the
sum is the same whatever it is split into.

Letters: B batch, N queries, M keys, H heads, D and E widths of a query/key and
of a value.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

from perceiver_paca.ops import chunked_attention, mesh
from perceiver_paca.ops.mesh import INPUTS, TENSOR


def partitioned_attention(
  attend: Callable[..., jax.Array],
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  mask: jax.Array | None,
  scale: float,
) -> jax.Array:
  """Arguments and result as `chunked_attention`'s.

  Args:
    attend: what a device does with its part of the queries and all keys:
      (q, k, v, mask, scale) -> output. Parts of the keys are attended to by
      `chunked_attention`.
    q: [B, N, H, D]. Examples and heads that an axis does not divide are on all
      of its devices, queries and keys are padded.
    k, v, mask, scale: as `chunked_attention`'s.
  """
  axes = mesh.axes()
  batch = mesh.batch_axes(q)
  heads = TENSOR if TENSOR in axes and not q.shape[2] % axes[TENSOR] else None
  num_parts = axes.get(INPUTS, 1)
  inputs = INPUTS if num_parts > 1 else None

  if inputs is None or q.shape[1] >= k.shape[1]:
    n = q.shape[1]
    q = _pad(q, num_parts, axis=1)
    if mask is not None and mask.shape[1] > 1:
      mask = _pad(mask, num_parts, axis=1)
    rows = inputs if mask is not None and mask.shape[1] > 1 else None
    operands = (q, k, v) if mask is None else (q, k, v, mask)
    local = jax.shard_map(
      lambda q, k, v, mask=None: attend(q, k, v, mask, scale),
      in_specs=(
        P(batch, inputs, heads),
        P(batch, None, heads),
        P(batch, None, heads),
        P(batch, rows),
      )[: len(operands)],
      out_specs=P(batch, inputs, heads),
      check_vma=False,  # Pallas does not say how its results vary
    )
    return local(*operands)[:, :n]

  m = k.shape[1]
  if m % num_parts:
    if mask is None:
      mask = jnp.ones((q.shape[0], 1, m), bool)
    mask = _pad(mask, num_parts, axis=2)
    k, v = _pad(k, num_parts, axis=1), _pad(v, num_parts, axis=1)
  return _over_keys(q, k, v, mask, scale, batch, heads)


def _pad(x: jax.Array, multiple: int, axis: int) -> jax.Array:
  """Zeros at the end, up to a multiple; masks become False there."""
  widths = [(0, 0)] * x.ndim
  widths[axis] = (0, -x.shape[axis] % multiple)
  return jnp.pad(x, widths)


# The rule of differentiation is outside of the mapped functions: which sums
# over devices the backward pass needs is then written here, not derived.
@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _over_keys(q, k, v, mask, scale, batch, heads):
  return _forward_rule(q, k, v, mask, scale, batch, heads)[0]


def _specs(batch, heads):
  """Of queries, keys, mask and log-sum-exp [B, H, N]."""
  return (
    P(batch, None, heads),
    P(batch, INPUTS, heads),
    P(batch, None, INPUTS),
    P(batch, heads),
  )


def _forward_rule(q, k, v, mask, scale, batch, heads):
  queries, keys, masks, sums = _specs(batch, heads)

  def local(q, k, v, mask=None):
    wide = jnp.promote_types(v.dtype, jnp.float32)
    out, lse = chunked_attention.forward(q, k, v, mask, scale, out_dtype=wide)
    top = lax.pmax(lse, INPUTS)
    total = lax.psum(jnp.exp(lse - top), INPUTS)
    share = jnp.exp(lse - top) / total
    out = lax.psum(out * jnp.swapaxes(share, 1, 2)[..., None], INPUTS)
    return out.astype(v.dtype), top + jnp.log(total)

  operands = (q, k, v) if mask is None else (q, k, v, mask)
  out, lse = jax.shard_map(
    local,
    in_specs=(queries, keys, keys, masks)[: len(operands)],
    out_specs=(queries, sums),
    check_vma=False,
  )(*operands)
  return out, (q, k, v, mask, out, lse)


def _backward_rule(scale, batch, heads, residuals, d_out):
  queries, keys, masks, sums = _specs(batch, heads)
  q, k, v, mask, out, lse = residuals

  def local(q, k, v, out, lse, d_out, mask=None):
    # With the log-sum-exp of all keys every part has its share of the whole.
    dq, dk, dv = chunked_attention.backward(
      (q, k, v, mask, out, lse), d_out, scale
    )
    return lax.psum(dq, INPUTS), dk, dv

  operands = (q, k, v, out, lse, d_out)
  operands += () if mask is None else (mask,)
  in_specs = (queries, keys, keys, queries, sums, queries, masks)
  gradients = jax.shard_map(
    local,
    in_specs=in_specs[: len(operands)],
    out_specs=(queries, keys, keys),
    check_vma=False,
  )(*operands)
  return (*gradients, None)


_over_keys.defvjp(_forward_rule, _backward_rule)

"""The platforms' own fused attention kernels, within their limits.

Letters: B batch, N queries, M keys, H heads, D and E widths of a query/key and
of a value. `*_refusal` says in words why a kernel cannot take its arguments,
or returns None; the kernels themselves do not check.
"""

import jax
import jax.numpy as jnp

_LANES = 128  # splash attention's blocks are multiples of it
# What a TPU's 16 MiB of fast memory hold in the backward pass, found by
# compiling: so many rows of a block, times D + E. The latter is limited, too.
_BLOCK_LIMIT = 512 * 1280
_WIDTHS_LIMIT = 4096


def _pad(x: jax.Array, size: int, axis: int) -> jax.Array:
  widths = [(0, 0)] * x.ndim
  widths[axis] = (0, size - x.shape[axis])
  return jnp.pad(x, widths)


def _multiple(size: int, of: int) -> int:
  return -(-size // of) * of


def cudnn_refusal(q, k, v, mask) -> str | None:
  """Why cuDNN's flash attention cannot take these, if it cannot."""
  if jax.default_backend() != 'gpu':
    return f'the default backend is {jax.default_backend()!r}, not gpu'
  if q.dtype not in (jnp.bfloat16, jnp.float16):
    return f'inputs are {q.dtype}, expected bfloat16 or float16'
  hopper = float(jax.devices('gpu')[0].compute_capability) >= 9.0
  limit = 256 if hopper else 128
  width = _multiple(max(q.shape[-1], v.shape[-1]), 8)
  if width > limit:
    return f'heads are {width} wide (padded), at most {limit} here'
  if q.shape[1] % 2 or k.shape[1] % 2:  # JAX's backward pass
    return (
      f'the numbers of queries and keys must be even, found {q.shape[1]} and '
      f'{k.shape[1]}'
    )
  return None


def cudnn_attention(q, k, v, mask, scale) -> jax.Array:
  """Attention by cuDNN; arguments as `chunked_attention`'s.

  Widths are padded with zeros to one multiple of 8, which changes neither the
  logits nor the part of the output that is kept.
  """
  width = _multiple(max(q.shape[-1], v.shape[-1]), 8)
  if mask is not None:  # becomes a bias, which JAX wants for each query
    shape = (q.shape[0], 1, q.shape[1], k.shape[1])
    mask = jnp.broadcast_to(mask[:, None], shape)
  out = jax.nn.dot_product_attention(
    *(_pad(x, width, axis=3) for x in (q, k, v)),
    mask=mask,
    scale=scale,
    implementation='cudnn',
  )
  return out[..., : v.shape[-1]]


def splash_refusal(q, k, v, mask) -> str | None:
  """Why TPU splash attention cannot take these, if it cannot."""
  if q.dtype not in (jnp.bfloat16, jnp.float32):
    return f'inputs are {q.dtype}, expected bfloat16 or float32'
  if mask is not None and mask.shape[1] > 1:
    return 'a mask per query is not supported, only one per key'
  widths = q.shape[-1] + v.shape[-1]
  if widths > _WIDTHS_LIMIT:
    return (
      f'heads of queries and values are {widths} wide together, at most '
      f'{_WIDTHS_LIMIT} here'
    )
  return None


def splash_attention(q, k, v, mask, scale, interpret=False) -> jax.Array:
  """Attention by the TPU's splash kernel; arguments as `chunked_attention`'s.

  Queries and keys are padded to whole blocks, padded and masked keys fall into
  a segment that no query is in. XLA cannot partition such a kernel:
  `partitioned_attention` does. `interpret` runs the kernel's interpreter, on
  any platform.
  """
  if mask is None:
    mask = jnp.ones((q.shape[0], 1, k.shape[1]), bool)
  mask = jnp.broadcast_to(mask, (q.shape[0], *mask.shape[1:]))
  # Here, because the import is slow and the module experimental.
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  num_queries, num_heads = q.shape[1:3]
  padded_q = _multiple(num_queries, _LANES)
  padded_k = _multiple(k.shape[1], _LANES)
  longest = _BLOCK_LIMIT // (q.shape[-1] + v.shape[-1])
  block_q, block_k = (
    next(b for b in (512, 256, 128) if size % b == 0 and b <= longest)
    for size in (padded_q, padded_k)
  )
  kernel = splash.make_splash_mha(
    splash.MultiHeadMask([splash.FullMask((padded_q, padded_k))] * num_heads),
    block_sizes=splash.BlockSizes(
      block_q=block_q,
      block_kv=block_k,
      block_kv_compute=block_k,
      block_q_dkv=block_q,
      block_kv_dkv=block_k,
      block_kv_dkv_compute=block_k,
      block_q_dq=block_q,
      block_kv_dq=block_k,
    ),
    head_shards=1,
    q_seq_shards=1,
    interpret=interpret,
  )

  def heads_first(x, size):
    return _pad(jnp.swapaxes(x, 1, 2), size, axis=2)

  segments = splash.SegmentIds(
    q=jnp.ones((q.shape[0], padded_q), jnp.int32),
    kv=_pad(mask[:, 0].astype(jnp.int32), padded_k, axis=1),
  )
  out = jax.vmap(kernel)(
    heads_first((q * scale).astype(q.dtype), padded_q),
    heads_first(k, padded_k),
    heads_first(v, padded_k),
    segments,
  )
  return jnp.swapaxes(out[:, :, :num_queries], 1, 2).astype(v.dtype)

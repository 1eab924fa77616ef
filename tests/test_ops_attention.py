"""Attention against a loop in float64, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_paca.ops import (
  chunked_attention,
  compiling,
  folded_attention,
  fused_attention,
)
from perceiver_paca.ops.attention import attention, plain_attention
from train_lib import cost


def naive(q, k, v, mask=None, scale=None):
  """Row by row in float64; rows without keys are 0."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  b, n, h, d = q.shape
  scale = d**-0.5 if scale is None else scale
  out = np.zeros((b, n, h, v.shape[-1]))
  for index in np.ndindex(b, n, h):
    batch, row, head = index
    keep = np.ones(k.shape[1], bool) if mask is None else mask[batch, row]
    if keep.any():
      logits = k[batch, keep, head] @ q[index] * scale
      weights = np.exp(logits - logits.max())
      out[index] = weights / weights.sum() @ v[batch, keep, head]
  return out


def inputs(b=2, n=7, m=11, h=2, d=3, e=5, dtype=np.float64, seed=0):
  rng = np.random.default_rng(seed)
  shapes = (b, n, h, d), (b, m, h, d), (b, m, h, e)
  return tuple(jnp.asarray(rng.standard_normal(s), dtype) for s in shapes)


def vjp(f, *args):
  """The value and the gradients for an uneven cotangent."""

  @jax.jit
  def run(*args):
    out, pull = jax.vjp(f, *args)
    return out, *pull(
      jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)
    )

  return run(*args)


@pytest.mark.parametrize('implementation', ['plain', 'chunked'])
@pytest.mark.parametrize('masked', [False, True])
def test_equals_the_loop(implementation, masked):
  with jax.enable_x64(True):
    q, k, v = inputs()
    rng = np.random.default_rng(2)
    masks, full = {}, None
    if masked:
      key_mask = rng.random((2, 11)) < 0.6
      key_mask[1] = False  # an example without any key
      query_mask = rng.random((2, 7)) < 0.6
      mask = rng.random((2, 7, 11)) < 0.6
      mask[0, 2] = False
      full = mask & key_mask[:, None] & query_mask[:, :, None]
      masks = dict(key_mask=key_mask, query_mask=query_mask, mask=mask)
      masks = {name: jnp.asarray(m) for name, m in masks.items()}
    out = attention(q, k, v, **masks, implementation=implementation)
    np.testing.assert_allclose(out, naive(q, k, v, full), atol=1e-13)


@pytest.mark.parametrize('masks', [(), ('key_mask',), ('key_mask', 'mask')])
@pytest.mark.parametrize('num_queries', [1, 3, 7])
def test_other_runtimes_get_no_loops(masks, num_queries, monkeypatch):
  """Parts of one, of three and of all queries."""
  name = f'{attention.__module__}._MAX_LOGITS_ELSEWHERE'
  monkeypatch.setattr(name, num_queries * 2 * 11)
  q, k, v = inputs(dtype=np.float32)
  rng = np.random.default_rng(3)
  drawn = dict(key_mask=rng.random((2, 11)), mask=rng.random((2, 7, 11)))
  masks = {name: jnp.asarray(drawn[name] < 0.5) for name in masks}

  def attend(q, k, v):
    return attention(q, k, v, **masks, implementation='chunked')

  expected = attend(q, k, v)
  with compiling.for_other_runtimes():
    traced = str(jax.make_jaxpr(attend)(q, k, v))
    np.testing.assert_allclose(attend(q, k, v), expected, atol=1e-6)
  assert 'scan' not in traced and 'while' not in traced
  assert traced.count('= exp') == -(-7 // num_queries)


# Sizes that divide into chunks and sizes that do not, on either side.
@pytest.mark.parametrize('n, m', [(8, 12), (7, 11), (9, 2)])
@pytest.mark.parametrize('mask_rows', [None, 1, 'all'])
def test_chunks_change_neither_value_nor_gradient(n, m, mask_rows):
  with jax.enable_x64(True):
    args = inputs(n=n, m=m)
    mask = None
    if mask_rows is not None:
      rows = 1 if mask_rows == 1 else n
      mask = np.random.default_rng(3).random((2, rows, m)) < 0.5
      mask[..., -1] = True
      mask = jnp.asarray(mask)
    chunked = vjp(
      lambda *a: chunked_attention.chunked_attention(*a, mask, 0.7, 4, 3), *args
    )
    plain = vjp(lambda *a: plain_attention(*a, mask, 0.7), *args)
    for found, expected in zip(chunked, plain, strict=True):
      np.testing.assert_allclose(found, expected, atol=1e-13)


@pytest.mark.parametrize('implementation', ['plain', 'chunked'])
def test_masked_positions_get_no_gradient(implementation):
  q, k, v = inputs(dtype=np.float32)
  key_mask = jnp.ones((2, 11), bool).at[0, 4:].set(False).at[1].set(False)
  query_mask = jnp.ones((2, 7), bool).at[0, 3].set(False)
  out, dq, dk, dv = vjp(
    lambda *a: attention(
      *a,
      key_mask=key_mask,
      query_mask=query_mask,
      implementation=implementation,
    ),
    q,
    k,
    v,
  )
  for zero in (out[1], out[0, 3], dq[1], dq[0, 3], dk[1], dv[1]):
    np.testing.assert_array_equal(zero, 0)
  np.testing.assert_array_equal(dk[0, 4:], 0)
  np.testing.assert_array_equal(dv[0, 4:], 0)
  assert all(np.isfinite(x).all() for x in (dq, dk, dv))
  assert (np.abs(dq[0, :3]) > 0).all()


@pytest.mark.parametrize('implementation', ['plain', 'chunked'])
def test_large_logits_do_not_overflow(implementation):
  q, k, v = inputs(dtype=np.float32)
  out = attention(q, k, v, scale=1e4, implementation=implementation)
  np.testing.assert_allclose(out, naive(q, k, v, scale=1e4), atol=1e-5)


@pytest.mark.parametrize('implementation', ['plain', 'chunked'])
def test_half_precision_sums_in_float32(implementation):
  """4,096 equal weights: summed in bfloat16, the total would stop at 256."""
  q, k, _ = inputs(n=1, m=4096, dtype=jnp.bfloat16)
  v = jnp.ones((2, 4096, 2, 5), jnp.bfloat16)
  out = attention(0 * q, k, v, implementation=implementation)
  assert out.dtype == jnp.bfloat16
  np.testing.assert_array_equal(out.astype(np.float32), 1)


def test_auto_never_holds_large_logits():
  def peak(n, m):
    shape = [jax.ShapeDtypeStruct((1, x, 1, 8), 'float32') for x in (n, m, m)]
    program = jax.jit(attention).lower(*shape).compile()
    return program.memory_analysis().temp_size_in_bytes

  n, m = 2048, 16384
  assert peak(n, m) < 0.1 * n * m * 4
  assert peak(n, 8 * m) < 1.5 * peak(n, m)
  assert peak(8 * n, m) < 1.5 * peak(n, m)


@pytest.mark.parametrize('n, m', [(784, 1_030), (512, 64), (1_530, 513)])
def test_chunks_on_a_cpu_compute_next_to_nothing_twice(n, m):
  q, k = (jax.ShapeDtypeStruct((1, x, 2, 8), 'float32') for x in (n, m))
  executed = cost.multiply_adds(
    lambda q, k: attention(q, k, k, implementation='chunked'), q, k
  )
  assert 1 <= executed / (2 * n * m * 2 * 8) < 1.01


@pytest.mark.parametrize('masked', [False, True])
def test_tpu_kernel_interpreted(masked):
  """Pads, segments and scale around the kernel; 130 is no whole block."""
  args = inputs(b=1, n=5, m=130, dtype=np.float32)
  mask = jnp.asarray(np.arange(130)[None, None] % 3 > 0) if masked else None
  splash = vjp(
    lambda *a: fused_attention.splash_attention(*a, mask, 0.7, interpret=True),
    *args,
  )
  plain = vjp(lambda *a: plain_attention(*a, mask, 0.7), *args)
  for found, expected in zip(splash, plain, strict=True):
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize('h, masked', [(1, False), (1, True), (3, True)])
def test_folded_projections(h, masked):
  """Equal to projecting first, key bias and all, in value and gradient."""
  b, n, m, c, d, e = 2, 4, 9, 6, 3, 5
  rng = np.random.default_rng(4)
  with jax.enable_x64(True):

    def draw(*shape):
      return jnp.asarray(rng.standard_normal(shape))

    q, x = draw(b, n, h, d), draw(b, m, c)
    wk, bk, wv, bv = draw(c, h, d), draw(h, d), draw(c, h, e), draw(h, e)
    masks = {}
    if masked:
      key_mask = jnp.asarray(rng.random((b, m)) < 0.5).at[1].set(False)
      query_mask = jnp.asarray(rng.random((b, n)) < 0.5)
      masks = dict(key_mask=key_mask, query_mask=query_mask)

    def projected(q, x, wk, wv, bv):
      k = jnp.einsum('bmc,chd->bmhd', x, wk) + bk
      return attention(q, k, jnp.einsum('bmc,chd->bmhd', x, wv) + bv, **masks)

    args = q, x, wk, wv, bv

    def folded(*a):
      return folded_attention.folded_attention(*a, **masks)

    for found, expected in zip(
      vjp(folded, *args), vjp(projected, *args), strict=True
    ):
      np.testing.assert_allclose(found, expected, atol=1e-12)


# Batch, queries, keys, heads, widths: even and odd, one key, wide heads.
CUDNN_SIZES = [
  (2, 256, 256, 8, 32, 160),
  (2, 196, 100, 2, 48, 48),
  (3, 130, 74, 4, 20, 40),
  (1, 64, 2048, 8, 32, 160),
  (2, 6, 2, 1, 256, 256),
]


@pytest.mark.skipif(jax.default_backend() != 'gpu', reason='cuDNN needs a GPU.')
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('sizes', CUDNN_SIZES)
def test_cudnn_in_value_and_gradient(sizes, masked):
  b, n, m, h, d, e = sizes
  args = inputs(b, n, m, h, d, e, dtype=jnp.bfloat16)
  mask = None
  if masked:
    mask = np.random.default_rng(3).random((b, 1, m)) < 0.5
    mask[..., -1] = True
    mask = jnp.asarray(mask)
  cudnn = vjp(
    lambda *a: fused_attention.cudnn_attention(*a, mask, 0.7 * d**-0.5), *args
  )
  wide = [np.asarray(x, np.float64) for x in args]
  with jax.enable_x64(True):
    exact = vjp(
      lambda *a: plain_attention(*a, mask, 0.7 * d**-0.5),
      *(jnp.asarray(x) for x in wide),
    )
  for found, expected in zip(cudnn, exact, strict=True):
    found = np.asarray(found, np.float64)
    assert np.isfinite(found).all()
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 1e-2, error


def test_folding_is_chosen_where_it_saves():
  # The ImageNet encoder, one head over many inputs; its decoder; MLM's encoder.
  assert folded_attention.folding_saves(512, 50176, 261, 1, 261, 261)
  assert folded_attention.folding_saves(1, 512, 1024, 1, 1024, 1024)
  assert not folded_attention.folding_saves(182528, 2048, 512, 1, 512, 512)
  assert not folded_attention.folding_saves(256, 2048, 768, 8, 32, 160)


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(implementation='flash'), "implementation: found 'flash'.*'chunked'"),
    (dict(implementation='cudnn'), "'cudnn': (the default backend|inputs are)"),
    (dict(key_mask=np.ones((2, 7), bool)), r'key_mask.*\(2, 7\).*\(2, 11\)'),
    (dict(query_mask=np.ones((2, 11), bool)), 'query_mask: found shape'),
    (dict(mask=np.ones((2, 11, 7), bool)), 'mask: found shape'),
    (dict(key_mask=np.ones((2, 11))), 'key_mask: found type float64'),
    (dict(k=np.ones((2, 11, 2, 4), np.float32)), 'k: found shape'),
    (dict(v=np.ones((2, 10, 2, 5), np.float32)), 'v: found shape'),
    (dict(q=np.ones((7, 2, 3), np.float32)), 'expected .batch, length'),
    (dict(q=jnp.ones((2, 7, 2, 3), jnp.bfloat16)), 'expected one type'),
  ],
)
def test_errors_name_what_is_wrong(change, message):
  q, k, v = inputs(dtype=np.float32)
  with pytest.raises(ValueError, match=message):
    attention(**{'q': q, 'k': k, 'v': v, **change})

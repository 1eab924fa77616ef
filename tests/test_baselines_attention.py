"""Each attention against its definition, in loops and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines import attention

B, N, H, D, E = 2, 12, 2, 4, 3


@pytest.fixture
def qkv():
  rng = np.random.default_rng(0)
  return [rng.standard_normal((B, N, H, width)) for width in (D, D, E)]


def naive(q, k, v, kernel):
  """out_i = sum_j kernel(i, j) v_j / sum_j kernel(i, j), in loops."""
  out = np.zeros((*q.shape[:3], v.shape[-1]))
  for b in range(len(q)):
    for h in range(q.shape[2]):
      for i in range(q.shape[1]):
        weights = np.array(
          [kernel(i, j, q[b, i, h], k[b, j, h]) for j in range(k.shape[1])]
        )
        out[b, i, h] = weights @ v[b, :, h] / weights.sum()
  return out


def softmax_kernel(i, j, q, k):
  return np.exp(q @ k / np.sqrt(len(q)))


def check(found, expected):
  np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize('radius', [1, 3, 4, 12])
def test_local_window(qkv, radius):
  def near(i, j, q, k):
    return softmax_kernel(i, j, q, k) * (abs(i - j) <= radius)

  check(attention.local_window(*qkv, radius), naive(*qkv, near))


def test_local_window_sees_nothing_further(qkv):
  q, k, v = map(jnp.asarray, qkv)

  def token(v):
    return attention.local_window(q, k, v, 3)[:, 5].sum()

  reached = np.abs(jax.grad(token)(v)).sum((0, 2, 3)) > 0
  assert list(np.flatnonzero(reached)) == list(range(2, 9))


@pytest.mark.parametrize('radius', [0, 5])
def test_windows_that_do_not_fit(qkv, radius):
  with pytest.raises(ValueError, match='radius'):
    attention.local_window(*qkv, radius)


def blocks_seen(num_blocks, size, num_random):
  """Whether token i attends to token j, by gradients: [N, N]."""
  n = num_blocks * size
  q, k, v = (jnp.ones((1, n, 1, 1)) for _ in range(3))

  def out(v):
    return attention.big_bird(q, k, v, size, num_random)[0, :, 0, 0]

  return np.asarray(jax.jacobian(out)(v))[:, 0, :, 0, 0] > 0


def test_big_bird_sees_global_near_and_random_blocks():
  seen = blocks_seen(8, 2, num_random=1)
  blocks = seen.reshape(8, 2, 8, 2)
  assert (blocks == blocks[:, :1, :, :1]).all()
  blocks = blocks[:, 0, :, 0]
  assert blocks[0].all() and blocks[:, 0].all()
  for i in range(1, 8):
    assert blocks[i, i - 1 : i + 2].all()
    assert blocks[i].sum() == 5


@pytest.mark.parametrize('num_random', [0, 1, 2])
def test_big_bird(qkv, num_random):
  seen = blocks_seen(6, 2, num_random)

  def chosen(i, j, q, k):
    return softmax_kernel(i, j, q, k) * seen[i, j]

  check(attention.big_bird(*qkv, 2, num_random), naive(*qkv, chosen))


@pytest.mark.parametrize(
  'size, num_random, named', [(5, 0, 'block_size'), (3, 1, 'num_random')]
)
def test_blocks_that_do_not_fit(qkv, size, num_random, named):
  with pytest.raises(ValueError, match=named):
    attention.big_bird(*qkv, size, num_random)


def test_linformer(qkv):
  q, k, v = qkv
  rng = np.random.default_rng(1)
  e, f = rng.standard_normal((2, 5, N)) / 3
  short = [np.zeros((B, 5, H, x.shape[-1])) for x in (k, v)]
  for out, projection, x in zip(short, (e, f), (k, v), strict=True):
    for r in range(5):
      for n in range(N):
        out[:, r] += projection[r, n] * x[:, n]
  check(attention.linformer(q, k, v, e, f), naive(q, *short, softmax_kernel))
  # With nothing to shorten it is plain attention.
  check(
    attention.linformer(q, k, v, np.eye(N), np.eye(N)),
    naive(q, k, v, softmax_kernel),
  )


def test_performer_by_its_features(qkv):
  w = np.random.default_rng(1).standard_normal((7, D))

  def kernel(i, j, q, k):
    q, k = q / D**0.25, k / D**0.25
    return np.exp(w @ q - q @ q / 2) @ np.exp(w @ k - k @ k / 2)

  check(attention.performer(*qkv, w), naive(*qkv, kernel))


def test_performer_approaches_softmax(qkv):
  q, k, v = qkv
  qkv = q / 2, k / 2, v  # The variance grows exponentially with the logits.
  exact = naive(*qkv, softmax_kernel)
  errors = []
  for num in (16, 4096):
    features = attention.orthogonal_features(jax.random.key(0), num, D)
    found = attention.performer(*qkv, features)
    errors.append(np.abs(found - exact).mean())
  assert errors[1] < 0.02 and errors[1] < errors[0] / 4


def test_features_are_orthogonal_and_as_long_as_normal_vectors():
  x = np.asarray(attention.orthogonal_features(jax.random.key(0), 4000, 8))
  block = x[8:16] @ x[8:16].T
  np.testing.assert_allclose(block, np.diag(np.diag(block)), atol=1e-4)
  assert np.square(x).sum(1).mean() == pytest.approx(8, rel=0.05)


def test_linear(qkv):
  def kernel(i, j, q, k):
    phi_q, phi_k = (np.where(x > 0, x + 1, np.exp(x)) for x in (q, k))
    return phi_q @ phi_k

  check(attention.linear(*qkv), naive(*qkv, kernel))

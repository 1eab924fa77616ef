"""Other efficient attentions, to measure beside: functions of q, k and v.

All take q, k [B, N, H, D] and v [B, N, H, E] and return [B, N, H, E].

Letters: B batch, N tokens, H heads, D and E widths of a query/key and of a
value, R rank or number of random features, W window.
"""

import jax
import jax.numpy as jnp
import numpy as np


def local_window(
  q: jax.Array, k: jax.Array, v: jax.Array, radius: int
) -> jax.Array:
  """Attention to the `radius` tokens on either side and the token itself.

  Longformer's sliding window (Beltagy et al. 2020, arXiv 2004.05150, section
  3.1), without global tokens. O(N W) for W = 2 radius + 1: blocks of `radius`
  tokens attend to three blocks, of which what is out of reach is masked.

  Raises:
    ValueError: if `radius` is not positive or does not divide N.
  """
  b, n, h, d = q.shape
  if radius < 1 or n % radius:
    raise ValueError(
      f'radius: found {radius}, expected a positive divisor of {n} tokens.'
    )

  def blocks(x):
    return x.reshape(b, n // radius, radius, h, -1)

  def with_neighbours(x):
    x = jnp.pad(blocks(x), ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    return jnp.concatenate([x[:, :-2], x[:, 1:-1], x[:, 2:]], axis=2)

  logits = jnp.einsum('btihd,btjhd->bthij', blocks(q), with_neighbours(k))
  query = jnp.arange(n).reshape(-1, radius, 1)
  key = query[:, :1] - radius + jnp.arange(3 * radius)
  near = (abs(query - key) <= radius) & (key >= 0) & (key < n)
  logits = jnp.where(near[:, None], logits * d**-0.5, -jnp.inf)
  weights = jax.nn.softmax(logits, axis=-1)
  out = jnp.einsum('bthij,btjhe->btihe', weights, with_neighbours(v))
  return out.reshape(v.shape)


def big_bird(
  q: jax.Array, k: jax.Array, v: jax.Array, block_size: int, num_random: int
) -> jax.Array:
  """A window, global tokens and random ones, in blocks: BigBird's sparsity.

  Zaheer et al. 2020, arXiv 2007.14062. The first block is global: it attends to
  all and all attend to it. Each other block attends to the first, to itself,
  to its two neighbours and to `num_random` more, drawn once. Where those
  coincide, at the ends, further random ones take their place, so that all
  attend to `num_random` + 4 blocks.

  Raises:
    ValueError: if the blocks do not divide N, or are too few.
  """
  b, n, h, d = q.shape
  if block_size < 1 or n % block_size:
    raise ValueError(
      f'block_size: found {block_size}, expected a positive divisor of {n} '
      'tokens.'
    )
  num_blocks, width = n // block_size, num_random + 4
  if num_blocks < width:
    raise ValueError(
      f'num_random: found {num_random}, which is {width} blocks for each; '
      f'expected at most {num_blocks}.'
    )
  chosen = _chosen_blocks(num_blocks, width)

  def blocks(x):
    return x.reshape(b, num_blocks, block_size, h, -1)

  def gathered(x):  # [B, blocks - 1, width * block_size, H, D]
    return blocks(x)[:, chosen].reshape(b, num_blocks - 1, -1, h, x.shape[-1])

  logits = jnp.einsum('btihd,btjhd->bthij', blocks(q)[:, 1:], gathered(k))
  weights = jax.nn.softmax(logits * d**-0.5, axis=-1)
  sparse = jnp.einsum('bthij,btjhe->btihe', weights, gathered(v))
  logits = jnp.einsum('bihd,bjhd->bhij', q[:, :block_size], k) * d**-0.5
  first = jnp.einsum('bhij,bjhe->bihe', jax.nn.softmax(logits, axis=-1), v)
  rest = sparse.reshape(b, n - block_size, h, -1)
  return jnp.concatenate([first, rest], axis=1)


def _chosen_blocks(num_blocks: int, width: int) -> np.ndarray:
  """For each block but the first, those that it attends to, all different."""
  rng = np.random.default_rng(0)
  rows = []
  for i in range(1, num_blocks):
    near = {0, i - 1, i, min(i + 1, num_blocks - 1)}
    others = rng.permutation(sorted(set(range(num_blocks)) - near))
    rows.append(sorted(near) + list(others[: width - len(near)]))
  return np.array(rows)


def linformer(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  key_projection: jax.Array,
  value_projection: jax.Array,
) -> jax.Array:
  """softmax(q (E k)^T / sqrt(D)) F v (Wang et al. 2020, 2006.04768, eq. 7).

  Args:
    q, k, v: see above.
    key_projection, value_projection: E and F [R, N], shared by heads.
  """
  k = jnp.einsum('rn,bnhd->brhd', key_projection, k)
  v = jnp.einsum('rn,bnhe->brhe', value_projection, v)
  logits = jnp.einsum('bnhd,brhd->bhnr', q, k) * q.shape[-1] ** -0.5
  return jnp.einsum('bhnr,brhe->bnhe', jax.nn.softmax(logits, axis=-1), v)


def performer(
  q: jax.Array, k: jax.Array, v: jax.Array, features: jax.Array
) -> jax.Array:
  """Softmax attention by positive random features, unbiased (FAVOR+).

  Choromanski et al. 2020, arXiv 2009.14794, lemma 1: exp(x y) is the mean over
  normal w of exp(w x - |x|^2 / 2) exp(w y - |y|^2 / 2).

  Args:
    q, k, v: see above.
    features: w [R, D]; `orthogonal_features` have less variance than others.
  """
  scale = q.shape[-1] ** -0.25  # of both sides: logits are divided by sqrt(D)

  def exponents(x):
    x = x * scale
    half = jnp.sum(jnp.square(x), axis=-1, keepdims=True) / 2
    return jnp.einsum('bnhd,rd->bnhr', x, features) - half

  # What is subtracted divides the numerator and the denominator alike.
  q, k = exponents(q), exponents(k)
  q = jnp.exp(q - jnp.max(q, axis=-1, keepdims=True))
  k = jnp.exp(k - jnp.max(k, axis=(1, 3), keepdims=True))
  return _normalised(q, k, v)


def orthogonal_features(rng: jax.Array, num: int, width: int) -> jax.Array:
  """Normal vectors [num, width], orthogonal in groups of `width`."""
  direction_rng, length_rng = jax.random.split(rng)
  groups = -(-num // width)
  directions = jax.random.orthogonal(direction_rng, width, (groups,))
  lengths = jnp.linalg.norm(
    jax.random.normal(length_rng, (num, width)), axis=1, keepdims=True
  )
  return directions.reshape(-1, width)[:num] * lengths


def linear(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
  """Attention with the kernel (elu(q) + 1) (elu(k) + 1)^T.

  Katharopoulos et al. 2020, arXiv 2006.16236, equations 5 and 7.
  """
  return _normalised(jax.nn.elu(q) + 1, jax.nn.elu(k) + 1, v)


def _normalised(q, k, v):
  """q (k^T v) over q (k^T 1), for q and k [B, N, H, R] that are positive."""
  values = jnp.einsum('bnhr,bnhe->bhre', k, v)
  total = jnp.einsum('bnhr,bhr->bnh', q, jnp.sum(k, axis=1))
  return jnp.einsum('bnhr,bhre->bnhe', q, values) / total[..., None]

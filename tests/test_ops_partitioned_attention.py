"""Attention on a mesh of eight devices is the attention of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from perceiver_paca.ops.attention import attention, plain_attention
from perceiver_paca.ops.mesh import whole_examples


def mesh(**axes):
  return jax.make_mesh(
    tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * len(axes)
  )


def value_and_gradients(f, *args):
  """For an uneven cotangent; and the compiled program's text."""

  def run(*args):
    out, pull = jax.vjp(f, *args)
    cotangent = jnp.cos(jnp.arange(out.size, dtype=out.dtype))
    return out, *pull(cotangent.reshape(out.shape))

  options = {'xla_backend_optimization_level': 0}
  program = jax.jit(run).lower(*args).compile(options)
  return program(*args), program.as_text()


@pytest.mark.parametrize(
  'n, m, h, masked',
  [
    (3, 13, 2, False),  # the keys are split, and padded to it
    (3, 12, 2, True),
    (3, 13, 3, True),  # three heads are not split
    (9, 5, 2, True),  # the queries are split
    (8, 8, 2, False),
  ],
)
def test_equals_one_device(n, m, h, masked):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    q, k, v = (
      jnp.asarray(rng.standard_normal((2, length, h, width)))
      for length, width in ((n, 4), (m, 4), (m, 5))
    )
    masks, full = {}, None
    if masked:
      key_mask = rng.random((2, m)) < 0.5
      key_mask[0, : m // 2] = False  # one part has no keys at all
      key_mask[0, -1] = True
      masks = {'key_mask': key_mask}
      full = np.broadcast_to(key_mask[:, None], (2, n, m))
      if n > m:
        masks['mask'] = rng.random((2, n, m)) < 0.9
        masks['query_mask'] = rng.random((2, n)) < 0.9
        full = full & masks['mask'] & masks['query_mask'][:, :, None]
      attends = full.any(-1)[..., None, None]
    expected, _ = value_and_gradients(
      lambda *qkv: (
        plain_attention(*qkv, full, 0.5)
        if full is None
        else jnp.where(attends, plain_attention(*qkv, full, 0.5), 0)
      ),
      q,
      k,
      v,
    )
    with jax.set_mesh(mesh(data=2, tensor=2, inputs=2)):
      found, text = value_and_gradients(
        lambda *qkv: attention(*qkv, scale=0.5, **masks), q, k, v
      )
  assert 'all-reduce' in text  # sums over parts, not a gathered whole
  for x, y in zip(found, expected, strict=True):
    np.testing.assert_allclose(x, y, atol=1e-12)


def test_no_device_holds_all_logits_or_keys():
  """32,768 keys over eight devices: an eighth of the arrays on each."""
  n, m, d = 16, 2**15, 32
  with jax.set_mesh(mesh(inputs=8)):

    def run(x, kernel):
      keys = (x @ kernel)[:, :, None]
      q = jnp.ones((1, n, 1, d))
      return attention(q, keys, keys).sum()

    program = (
      jax.jit(jax.grad(run, 1))
      .lower(
        jax.ShapeDtypeStruct((1, m, 8), jnp.float32),
        jax.ShapeDtypeStruct((8, d), jnp.float32),
      )
      .compile()
    )
  assert program.memory_analysis().temp_size_in_bytes < m * d * 4


def test_gradient_of_a_convolution_of_split_images():
  """Without `whole_examples` it is twice what it should be."""
  rng = np.random.default_rng(0)
  x, kernel = (
    jnp.asarray(rng.standard_normal(shape), jnp.float32)
    for shape in ((4, 28, 28, 1), (3, 3, 1, 8))
  )

  def convolve(kernel, x):
    return whole_examples(
      jax.lax.conv_general_dilated(
        whole_examples(x),
        kernel,
        (2, 2),
        ((1, 1), (1, 1)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      )
    )

  (_, expected), _ = value_and_gradients(lambda k: convolve(k, x), kernel)
  axes = mesh(data=2, tensor=2, inputs=2)
  x = jax.device_put(x, NamedSharding(axes, P('data', 'inputs')))
  kernel = jax.device_put(kernel, NamedSharding(axes, P()))

  def run(kernel, x):
    out, pull = jax.vjp(lambda k: convolve(k, x), kernel)
    cotangent = jnp.cos(jnp.arange(out.size, dtype=out.dtype))
    return pull(cotangent.reshape(out.shape))[0]

  with jax.set_mesh(axes):
    found = jax.jit(run)(kernel, x)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

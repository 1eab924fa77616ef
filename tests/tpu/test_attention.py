"""Attention compiled ahead of time for eight TPU v5e, forward and backward.

This says that the kernel takes these shapes, how it is split over devices and
what memory it needs; the numbers are tested in the kernel's interpreter
(tests/test_ops_attention.py). No TPU is needed.

  make tpu-compile
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from perceiver_paca.ops.attention import attention

DEVICES = 8


@pytest.fixture(scope='module')
def mesh():
  topology = topologies.get_topology_desc(
    platform='tpu', topology_name='v5e:2x4'
  )
  devices = np.array(topology.devices).reshape(DEVICES)
  return Mesh(devices, ('data',), axis_types=(AxisType.Auto,))


def compiled(mesh, implementation, n, m, h, d, e, masked=False):
  """The gradient of one example per device, bfloat16."""

  def loss(q, k, v, key_mask):
    out = attention(
      q,
      k,
      v,
      key_mask=key_mask if masked else None,
      implementation=implementation,
    )
    return jnp.sum(out.astype(jnp.float32) ** 2)

  split = NamedSharding(mesh, PartitionSpec('data'))
  args = [
    jax.ShapeDtypeStruct((DEVICES, *shape), dtype, sharding=split)
    for shape, dtype in (
      ((n, h, d), jnp.bfloat16),
      ((m, h, d), jnp.bfloat16),
      ((m, h, e), jnp.bfloat16),
      ((m,), bool),
    )
  ]
  with jax.set_mesh(mesh):
    return jax.jit(jax.grad(loss, (0, 1, 2))).lower(*args).compile()


@pytest.mark.parametrize(
  'n, m, h, d, e, masked',
  [
    (256, 2048, 8, 32, 160, True),  # MLM's encoder
    (256, 256, 8, 32, 160, False),  # MLM's latents
    (512, 50176, 1, 261, 261, False),  # ImageNet's encoder
    (49, 3136, 2, 32, 32, False),  # PaCa's first stage, sides exchanged
  ],
)
def test_splash_compiles_and_is_split_over_the_batch(
  mesh, n, m, h, d, e, masked
):
  program = compiled(mesh, 'splash', n, m, h, d, e, masked)
  text = program.as_text()
  assert 'tpu_custom_call' in text
  assert 'all-gather' not in text and 'all-reduce' not in text


def test_flow_sized_attention_never_holds_its_logits(mesh):
  n, m, d = 2048, 182528, 322
  program = compiled(mesh, 'chunked', n, m, 1, d, d)
  logits = n * m * 4  # bytes, in float32
  assert program.memory_analysis().temp_size_in_bytes < logits / 2

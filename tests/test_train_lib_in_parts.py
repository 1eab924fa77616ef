"""A batch in parts gives what it gives at once, and no part is for nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train_lib import in_parts, metrics, sharding

MIB = 2**20


@pytest.fixture
def mesh():
  return sharding.make_mesh({'data': 1}, jax.devices()[:1])


@pytest.fixture
def small_caches(monkeypatch):
  """One core whose parts are two examples of `logits` and a bit."""
  monkeypatch.setattr(in_parts, '_AT_ONCE', 0)
  monkeypatch.setattr(in_parts, '_PART', 2 * 5 * 4 + 1)
  monkeypatch.setattr(in_parts, '_num_cores', lambda: 1)


def logits(kernel, batch):
  return jnp.tanh(batch['x']) @ kernel


def of(size):
  rng = np.random.default_rng(size)
  return rng.normal(size=(3, 5)).astype('f'), {
    'x': rng.normal(size=(size, 3)).astype('f'),
    'mask': np.arange(size) % 4 < 3,
  }


@pytest.mark.parametrize(
  ('size', 'mib', 'cores', 'expected'),
  [
    (8, 16, 1, 8),  # what fits is not cut
    (8, 32, 2, 8),
    (8, 36, 1, 1),  # an example is more than a part
    (8, 36, 2, 2),
    (8, 50, 3, 2),  # of the divisors
    (64, 24, 1, 4),
    (64, 48, 2, 4),
    (7, 70, 3, 1),
    (2, 600, 16, 2),
  ],
)
def test_part_size(size, mib, cores, expected):
  assert in_parts.part_size(size, mib * MIB, cores) == expected


@pytest.mark.parametrize(('size', 'parts'), [(6, 3), (5, 5), (1, 1)])
def test_parts_are_the_whole(mesh, small_caches, size, parts):
  kernel, batch = of(size)
  found = list(in_parts.InParts(mesh, logits)(kernel, batch))
  assert len(found) == parts
  np.testing.assert_allclose(
    np.concatenate(found), logits(kernel, batch), rtol=1e-6, atol=1e-6
  )


def test_sums_of_parts_merge_to_those_of_the_whole(mesh, small_caches):
  def sums(kernel, batch):
    x = logits(kernel, batch)[:, 0]
    return {'r': metrics.Pearson.of(x, x**2, batch['mask'].astype('f'))}

  kernel, batch = of(8)
  total = None
  for part in in_parts.InParts(mesh, sums)(kernel, batch):
    total = metrics.merged(total, part)
  whole = metrics.merged(None, sums(kernel, batch))
  assert metrics.computed(total)['r'] == pytest.approx(
    metrics.computed(whole)['r'], rel=1e-5
  )


def test_parts_of_padding_alone_are_left_out(mesh, small_caches):
  kernel, batch = of(8)
  found = list(in_parts.InParts(mesh, logits)(kernel, batch, num_present=3))
  np.testing.assert_allclose(
    np.concatenate(found), logits(kernel, batch)[:4], rtol=1e-6, atol=1e-6
  )


def test_several_devices_take_a_batch_at_once(small_caches):
  mesh = sharding.make_mesh({'data': 2}, jax.devices()[:2])
  kernel, batch = of(8)
  batch = jax.device_put(batch, sharding.batch_sharding(mesh))
  assert len(list(in_parts.InParts(mesh, logits)(kernel, batch))) == 1

"""GELU, BatchNorm and DropPath against their definitions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from paca_vit import layers
from perceiver_paca.ops import resize


def test_gelu_and_its_derivative_are_exact():
  x = np.linspace(-6, 6, 41)
  cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
  pdf = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
  with jax.enable_x64(True):
    value, tangent = jax.jvp(layers.gelu, (x,), (np.ones_like(x),))
    gradient = jax.grad(lambda x: layers.gelu(x).sum())(x)
  np.testing.assert_allclose(value, x * cdf, atol=1e-14)
  np.testing.assert_allclose(tangent, cdf + x * pdf, atol=1e-14)
  np.testing.assert_allclose(gradient, cdf + x * pdf, atol=1e-14)


def test_gelu_in_bfloat16_rounds_once():
  x = jnp.linspace(-3, 3, 64).astype(jnp.bfloat16)
  want = layers.gelu(x.astype(jnp.float32)).astype(jnp.bfloat16)
  np.testing.assert_array_equal(layers.gelu(x), want)


def batch_norm_step(x):
  norm = layers.BatchNorm()
  variables = norm.init(jax.random.key(0), x, False)
  return jax.jit(lambda v, x: norm.apply(v, x, True, mutable=['batch_stats']))(
    variables, x
  )


def test_batch_norm_statistics():
  x = np.random.default_rng(0).normal(3, 2, (4, 3, 2, 5)).astype(np.float32)
  y, state = batch_norm_step(x)
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-5)
  stats = state['batch_stats']
  np.testing.assert_allclose(stats['mean'], 0.1 * mean, rtol=1e-5)
  unbiased = x.var((0, 1, 2), ddof=1)
  np.testing.assert_allclose(stats['var'], 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_batch_norm_is_over_the_global_batch():
  x = np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype(np.float32)
  mesh = jax.make_mesh(
    (jax.device_count(),), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec('data')))
  got, want = batch_norm_step(sharded), batch_norm_step(x)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_batch_norm_refuses_to_train_on_one_value():
  with pytest.raises(ValueError, match=r'found inputs \(1, 1, 1, 3\)'):
    batch_norm_step(jnp.ones((1, 1, 1, 3)))


def test_drop_path_keeps_or_drops_whole_examples():
  x = jnp.ones((1000, 2, 3))
  drop = layers.DropPath(0.25)
  y = drop.apply({}, x, True, rngs={'drop_path': jax.random.key(0)})
  kept = np.asarray(y[:, 0, 0]) > 0
  np.testing.assert_allclose(y, np.where(kept[:, None, None], x / 0.75, 0))
  assert 0.7 < kept.mean() < 0.8
  np.testing.assert_array_equal(drop.apply({}, x, False), x)


def test_resize_matches_the_definition():
  x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)

  def at(image, row, column):
    row, column = (
      np.clip(v, 0, size - 1)
      for v, size in zip((row, column), image.shape, strict=False)
    )
    top, left = int(row), int(column)
    bottom = min(top + 1, image.shape[0] - 1)
    right = min(left + 1, image.shape[1] - 1)
    v, h = row - top, column - left
    return (1 - v) * ((1 - h) * image[top, left] + h * image[top, right]) + (
      v * ((1 - h) * image[bottom, left] + h * image[bottom, right])
    )

  for height, width in [(6, 9), (3, 5), (7, 1)]:
    centred = resize.resize_bilinear(x, (height, width))
    aligned = resize.resize_bilinear(x, (height, width), align_corners=True)
    for i in range(height):
      for j in range(width):
        row, column = (i + 0.5) * 3 / height - 0.5, (j + 0.5) * 5 / width - 0.5
        np.testing.assert_allclose(
          centred[1, i, j], at(x[1], row, column), atol=1e-5
        )
        row, column = (
          a * (size - 1) / max(n - 1, 1)
          for a, size, n in [(i, 3, height), (j, 5, width)]
        )
        np.testing.assert_allclose(
          aligned[1, i, j], at(x[1], row, column), atol=1e-5
        )

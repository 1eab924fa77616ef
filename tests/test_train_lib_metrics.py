"""A mean is exact however the examples are batched and padded."""

import jax.numpy as jnp
import numpy as np
import pytest

from train_lib import metrics


@pytest.mark.parametrize('batch_size', [1, 3, 7, 10])
def test_mean_does_not_depend_on_the_batch_size(batch_size):
  values = np.random.default_rng(0).standard_normal((10, 4)).astype('f')
  total = None
  for start in range(0, 10, batch_size):
    chunk = values[start : start + batch_size]
    mask = np.arange(batch_size) < len(chunk)
    padded = np.full((batch_size, 4), np.nan, 'f')
    padded[: len(chunk)] = chunk
    mean = metrics.Mean.of(jnp.asarray(padded), jnp.asarray(mask))
    total = mean if total is None else total.merge(mean)
  np.testing.assert_allclose(total.compute(), values.mean(), rtol=1e-5)


def test_mean_weighs_by_mask():
  mean = metrics.Mean.of(jnp.array([1.0, 4.0]), jnp.array([3.0, 1.0]))
  np.testing.assert_allclose(mean.compute(), 7 / 4)

"""Cross entropy against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train_lib import losses


@pytest.fixture
def logits():
  return 3 * np.random.default_rng(0).standard_normal((2, 4, 5))


def definition(logits, targets):
  probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  return -(targets * np.log(probabilities)).sum(-1)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_integer_labels_and_targets(logits, smoothing):
  labels = np.array([[0, 4, 2, 2], [1, 3, 0, 4]])
  targets = np.eye(5)[labels]
  want = definition(logits, (1 - smoothing) * targets + smoothing / 5)
  with jax.enable_x64(True):
    hard = losses.softmax_cross_entropy(logits, labels, smoothing)
    soft = losses.softmax_cross_entropy(logits, targets, smoothing)
  np.testing.assert_allclose(hard, want, atol=1e-12)
  np.testing.assert_allclose(soft, want, atol=1e-12)


def test_soft_targets(logits):
  targets = np.random.default_rng(1).dirichlet(np.ones(5), size=(2, 4))
  got = losses.softmax_cross_entropy(jnp.asarray(logits), jnp.asarray(targets))
  np.testing.assert_allclose(got, definition(logits, targets), rtol=1e-5)


def test_bfloat16_logits_lose_nothing_but_their_own_digits():
  logits = jnp.array([[100.0, 0.0], [0.0, 1.0]], jnp.bfloat16)
  loss = losses.softmax_cross_entropy(logits, jnp.array([0, 0]))
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, [0, np.log1p(np.e)], rtol=1e-6)


def test_labels_out_of_range_are_not_silent():
  loss = losses.softmax_cross_entropy(jnp.zeros((1, 3)), jnp.array([3]))
  assert np.isnan(loss).all()


@pytest.mark.parametrize(
  'labels', [np.zeros((2, 5), int), np.zeros(2), np.zeros((2, 4))]
)
def test_other_labels_are_refused(labels):
  with pytest.raises(ValueError, match='labels'):
    losses.softmax_cross_entropy(jnp.zeros((2, 5)), jnp.asarray(labels))


def test_masked_mean_ignores_value_and_gradient_of_what_is_masked():
  def fn(x):
    return losses.masked_mean(jnp.log(x), jnp.array([1.0, 0.0, 1.0]))

  value, gradient = jax.value_and_grad(fn)(jnp.array([1.0, -1.0, np.e**2]))
  np.testing.assert_allclose(value, 1, rtol=1e-6)
  np.testing.assert_allclose(gradient, [0.5, 0, 0.5 / np.e**2], rtol=1e-6)


def test_masked_mean_of_nothing_is_zero():
  assert losses.masked_mean(jnp.array([np.nan, 1.0]), jnp.zeros(2)) == 0

"""Optical flow: loss, reversed pairs and metrics by loops."""

import dataclasses
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_io import outputs
from perceiver_io.tasks import optical_flow

SIZE = (6, 8)


@dataclasses.dataclass(frozen=True)
class Fixed:
  """Stands for a model: flow is its only parameter."""

  def apply(self, variables, frames, train=False, mutable=()):
    flow = variables['params']['flow'][: len(frames)]
    return (flow, {}) if train else flow


def make_batch(seed=0, size=3):
  """Short and long motions, many of them unknown; the last is padding."""
  rng = np.random.default_rng(seed)
  scale = rng.choice([1.0, 8.0, 30.0], (size, *SIZE, 1))
  return {
    'frames': rng.uniform(-1, 1, (size, 2, *SIZE, 3)).astype('f'),
    'flow': (scale * rng.standard_normal((size, *SIZE, 2))).astype('f'),
    'valid': (rng.random((size, *SIZE)) < 0.7).astype(np.uint8),
    'mask': np.float32([1] * (size - 1) + [0]),
  }


def guesses(size):
  rng = np.random.default_rng(9)
  flow = 12 * rng.standard_normal((size, *SIZE, 2))
  return {'params': {'flow': flow.astype('f')}}


def distances(variables, batch):
  """(error, motion) of each pixel that counts, in float64."""
  found = []
  flow = variables['params']['flow'].astype('d')
  for b, y, x in np.ndindex(batch['valid'].shape):
    if batch['valid'][b, y, x] and batch['mask'][b]:
      target = batch['flow'][b, y, x].astype('d')
      found.append((np.hypot(*(flow[b, y, x] - target)), np.hypot(*target)))
  return np.array(found).T


def test_loss_is_the_mean_distance_of_known_pixels():
  batch, variables = make_batch(), guesses(3)
  task = optical_flow.OpticalFlow(Fixed(), reverse_pairs=False)
  loss, aux = task.loss(variables, batch, None)
  errors, _ = distances(variables, batch)
  np.testing.assert_allclose(loss, errors.mean(), rtol=1e-5)
  assert aux.weight == len(errors)

  # A unit vector for each that counts, and nothing for the others.
  grads = jax.grad(lambda v: task.loss(v, batch, None)[0])(variables)
  grads = np.asarray(grads['params']['flow']) * len(errors)
  counts = (batch['valid'] > 0) & (batch['mask'] > 0)[:, None, None]
  np.testing.assert_array_equal(grads[~counts], 0)
  np.testing.assert_allclose(
    np.linalg.norm(grads[counts], axis=-1), 1, rtol=1e-4
  )


def test_exact_flow_has_no_gradient_but_a_finite_one():
  batch = make_batch()
  variables = {'params': {'flow': batch['flow']}}
  task = optical_flow.OpticalFlow(Fixed(), reverse_pairs=False)
  grads = jax.grad(lambda v: task.loss(v, batch, None)[0])(variables)
  np.testing.assert_array_equal(grads['params']['flow'], 0)


def reverse_by_loop(flow, valid):
  height, width = valid.shape
  landed = {}
  for y, x in np.ndindex(height, width):
    if not valid[y, x]:
      continue
    u, v = flow[y, x].astype('d')
    end = (int(np.round(y + v)), int(np.round(x + u)))
    if 0 <= end[0] < height and 0 <= end[1] < width:
      landed.setdefault(end, []).append((-u, -v))
  known = np.zeros((height, width))
  backward = np.zeros((height, width, 2))
  for end, found in landed.items():
    known[end], backward[end] = 1, np.mean(found, axis=0)
  return backward, known


def test_reversed_pairs_are_those_of_a_loop():
  batch = make_batch(size=2)
  batch['flow'] /= 6
  batch['flow'][batch['valid'] == 0] = np.nan  # must not matter
  found = optical_flow.reversed_pairs(batch)
  np.testing.assert_array_equal(found['frames'], batch['frames'][:, ::-1])
  np.testing.assert_array_equal(found['mask'], batch['mask'])
  for i in range(2):
    flow, known = reverse_by_loop(batch['flow'][i], batch['valid'][i])
    np.testing.assert_array_equal(found['valid'][i], known)
    np.testing.assert_allclose(found['flow'][i], flow, atol=1e-5)
    assert 0.2 < known.mean() < 0.9


def test_a_moving_picture_moves_back():
  """All goes 2 right and 1 up: the reverse is known where something came."""
  batch = make_batch(size=1)
  batch['flow'] = np.tile(np.float32([2, -1]), (1, *SIZE, 1))
  batch['valid'][:] = 1
  found = optical_flow.reversed_pairs(batch)
  expected = np.zeros(SIZE)
  expected[:-1, 2:] = 1
  np.testing.assert_array_equal(found['valid'][0], expected)
  np.testing.assert_array_equal(found['flow'][0][expected > 0], [[-2, 1]] * 30)


def test_the_first_phase_counts_every_known_pixel_of_both_directions():
  batch, variables = make_batch(), guesses(6)
  batch['flow'] /= 6
  task = optical_flow.OpticalFlow(Fixed(), reverse_pairs=True)
  loss, aux = jax.jit(task.loss)(variables, batch, None)
  both = [
    reverse_by_loop(*x) for x in zip(batch['flow'], batch['valid'], strict=True)
  ]
  whole = {
    'flow': np.concatenate([batch['flow'], [flow for flow, _ in both]]),
    'valid': np.concatenate([batch['valid'], [known for _, known in both]]),
    'mask': np.tile(batch['mask'], 2),
  }
  errors, _ = distances(variables, whole)
  np.testing.assert_allclose(loss, errors.mean(), rtol=1e-5)
  assert aux.weight == len(errors)


def test_metrics_are_those_of_a_loop():
  batch, variables = make_batch(seed=3), guesses(3)
  task = optical_flow.OpticalFlow(Fixed(), reverse_pairs=False)
  error, motion = distances(variables, batch)
  between = (motion >= 10) & (motion <= 40)
  expected = {
    'epe': error.mean(),
    'epe_below_10': error[motion < 10].mean(),
    'epe_10_to_40': error[between].mean(),
    'epe_above_40': error[motion > 40].mean(),
    'fl_all': np.mean(
      [e > 3 and e / m > 0.05 for e, m in zip(error, motion, strict=True)]
    ),
  }
  metrics = jax.jit(task.metrics)(variables, batch)
  found = {name: metric.compute() for name, metric in metrics.items()}
  assert found == pytest.approx(expected, rel=1e-5)
  assert 0.5 < found['fl_all'] < 1


def test_limits_of_the_metrics():
  """3 pixels and 5 % are no outliers; 10 and 40 pixels are in the middle."""
  target = np.float32([[0, 10], [40, 0], [80, 0], [80, 0]])[None, None]
  error = np.float32([[3, 0], [4, 0], [4, 0], [4.5, 0]])[None, None]
  metrics = optical_flow.flow_metrics(
    target + error, target, np.ones((1, 1, 4))
  )
  found = {name: metric.compute() for name, metric in metrics.items()}
  assert found['fl_all'] == 2 / 4  # 4 of 40 and 4.5 of 80
  assert np.isnan(found['epe_below_10'])
  assert found['epe_10_to_40'] == 3.5 and found['epe_above_40'] == 4.25


def test_units_are_pixels():
  """The published model's linear map is of a fifth of a pixel."""
  x = np.random.default_rng(0).standard_normal((2, 48, 5))
  kernel = np.random.default_rng(1).standard_normal((5, 2))
  with jax.enable_x64(True):
    params = {'linear': {'kernel': kernel, 'bias': jnp.asarray([3.0, -1.0])}}
    flow = outputs.Flow(*SIZE).apply({'params': params}, jnp.asarray(x))
  expected = (x @ kernel + [3, -1]).reshape(2, *SIZE, 2) * 20 / 100
  np.testing.assert_allclose(flow, expected, atol=1e-12)


def upsampled_by_loop(flow, logits):
  """RAFT's, cell by cell: softmax over 3x3 cells, the flow times the factor.

  RAFT takes zeros for the cells beyond the border, here they are the border's.
  """
  height, width, factor = logits.shape[:3]
  out = np.zeros((height * factor, width * factor, 2))
  for y, x, i, j in np.ndindex(height, width, factor, factor):
    weights = np.exp(logits[y, x, i, j])
    weights /= weights.sum()
    for k, (dy, dx) in enumerate(itertools.product((-1, 0, 1), repeat=2)):
      cell = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
      out[y * factor + i, x * factor + j] += weights[k] * factor * flow[cell]
  return out


@pytest.mark.parametrize('height, width, factor', [(3, 5, 4), (1, 2, 8)])
def test_convex_upsampling_is_raft_s(height, width, factor):
  module = outputs.ConvexFlow(height, width, factor=factor, channels=6)
  rng = np.random.default_rng(0)
  x = rng.standard_normal((2, height * width, 7))
  with jax.enable_x64(True):
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda p: rng.standard_normal(p.shape), shapes)
    found = module.apply(variables, jnp.asarray(x))
  assert found.dtype == np.float64

  def dense(name, x):
    return (
      x @ variables['params'][name]['kernel']
      + (variables['params'][name]['bias'])
    )

  hidden = dense('hidden', x)
  cells = dense('linear', hidden).reshape(2, height, width, 2) * 0.2
  logits = dense('weights', hidden)
  logits = logits.reshape(2, height, width, factor, factor, 9)
  expected = [
    upsampled_by_loop(*pair) for pair in zip(cells, logits, strict=True)
  ]
  np.testing.assert_allclose(found, expected, atol=1e-12)


def test_constant_flow_stays_constant():
  rng = np.random.default_rng(0)
  weights = nn.softmax(3 * rng.standard_normal((1, 3, 4, 4, 4, 9)))
  flow = np.tile(np.float32([2.5, -7]), (1, 3, 4, 1))
  found = outputs.convex_upsample(flow, weights)
  np.testing.assert_allclose(
    found, np.tile(np.float32([2.5, -7]), (1, 12, 16, 1)), rtol=1e-6
  )

"""Optical flow: loss, reversed pairs and metrics by loops; table 16."""

import dataclasses
import itertools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.perceiver_io import optical_flow as config_lib
from perceiver_io import models, outputs
from perceiver_io.tasks import optical_flow
from tools import paper_tables
from train_lib import cost
from train_lib import task as task_lib

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


# Table 16


def make_model(conv, **options):
  """A small model, variables of which none is zero, and frames."""
  encoder = models.encoder(
    num_latents=5,
    latent_channels=16,
    num_self_attends_per_block=1,
    num_self_attend_heads=2,
  )
  # Odd sizes but for the convolution, which halves them twice.
  size = (8, 12) if conv else (5, 7)
  make = models.conv_optical_flow if conv else models.optical_flow
  model = make(
    image_size=size, encoder=encoder, channels=6, num_bands=2, **options
  )
  rng = np.random.default_rng(0)
  frames = rng.uniform(-1, 1, (2, 2, *size, 3)).astype('f')
  variables = jax.tree.map(
    lambda p: np.ones(p.shape, p.dtype),
    jax.eval_shape(model.init, jax.random.key(0), frames),
  )
  variables['params'] = jax.tree.map(
    lambda p: 0.4 * rng.standard_normal(p.shape).astype('f'),
    variables['params'],
  )
  return model, variables, frames


@pytest.mark.parametrize(
  'conv, options',
  [
    (False, dict(patch_size=3)),
    (False, dict(patch_size=1, concatenate=False)),
    (True, {}),
    (True, dict(concatenate=False)),
  ],
)
def test_flow_of_every_pixel_follows_all_of_both_frames(conv, options):
  model, variables, frames = make_model(conv, **options)
  size = frames.shape[2:4]
  weights = np.random.default_rng(1).standard_normal((2, *size, 2))

  @jax.jit
  def flow_and_gradient(frames):
    flow, pull = jax.vjp(lambda x: model.apply(variables, x), frames)
    return flow, pull(weights.astype('f'))[0]

  flow, gradient = flow_and_gradient(frames)
  assert flow.shape == (2, *size, 2)
  # No two pixels' motions are alike, nor the examples'.
  assert len(np.unique(np.asarray(flow).round(6))) > 0.9 * flow.size
  followed = np.abs(gradient).max(axis=-1) > 0
  # The stem's ReLU and max-pool may hide a few pixels.
  assert followed.mean(axis=(0, 2, 3)).min() >= (0.9 if conv else 1)
  # Examples do not mix.
  for i in range(2):
    alone, _ = flow_and_gradient(frames[[i, i]])
    np.testing.assert_allclose(alone[0], flow[i], atol=1e-5)
  # Frames are not interchangeable.
  swapped, _ = flow_and_gradient(frames[:, ::-1])
  assert np.abs(swapped - flow).max() > 1e-3


@pytest.mark.parametrize('conv', [False, True])
def test_separate_frames_have_positions_in_time_and_the_first_one_asks(conv):
  model, variables, frames = make_model(conv, concatenate=False)

  @jax.jit
  def read(frames):
    return model.apply(
      variables,
      frames,
      method=lambda m, x: (m.inputs(x), m.queries(m.inputs(x))),
    )

  array, queries = read(frames)
  places = array.shape[1] // 2
  assert places == (2 * 3 if conv else 5 * 7)
  # 6 features; t, row, column; a sine and a cosine of 2 bands for each.
  assert array.shape[2] == 6 + 3 * (1 + 2 * 2)
  first, second = array[:, :places], array[:, places:]
  np.testing.assert_array_equal(first[..., 6], -1)
  np.testing.assert_array_equal(second[..., 6], 1)
  np.testing.assert_array_equal(first[..., 7:9], second[..., 7:9])
  np.testing.assert_array_equal(queries, first)
  # Both frames pass through the same weights.
  swapped, _ = read(frames[:, ::-1])
  np.testing.assert_allclose(
    swapped[:, :places, :6], second[..., :6], atol=1e-5
  )


def test_a_stem_without_whole_cells_is_refused():
  with pytest.raises(ValueError, match=r'image_size: found \(8, 10\), .* of 4'):
    models.conv_optical_flow(image_size=(8, 10), encoder=None)


def test_batch_statistics_are_learned():
  model, variables, frames = make_model(True)
  task = optical_flow.OpticalFlow(model, reverse_pairs=True)
  batch = {
    'frames': frames,
    'flow': np.ones((2, 8, 12, 2), 'f'),
    'valid': np.ones((2, 8, 12), 'f'),
    'mask': np.ones(2, 'f'),
  }
  _, aux = jax.jit(task.loss)(variables, batch, None)
  found = aux.model_state['batch_stats']['inputs']['features']['stem']
  assert found['batch_norm_0']['counter'] == 2
  assert np.abs(found['batch_norm_0']['mean'] - 1).min() > 0
  # Evaluation uses them, whatever the batch is.
  predict = jax.jit(task.predict)
  learned = {**variables, **aux.model_state}
  both = predict(learned, {'frames': frames})['flow']
  for i in range(2):
    alone = predict(learned, {'frames': frames[[i, i]]})['flow']
    np.testing.assert_allclose(alone[0], both[i], atol=1e-5)
  before = predict(variables, {'frames': frames})['flow']
  assert np.abs(both - before).max() > 1e-3


# Parameters and GFLOPs at 2 a multiply-add, without folding. 27.9M and 987 are
# what the paper counts (section H) for 16 layers and 1,024 latents of `patch3`,
# which tests/test_perceiver_io_counts.py has; those of the released `patch3`
# are measured on DeepMind's code. The others are counted here alone.
SIZES = {
  'patch3': (41_057_134, 1886.9),
  'patch3_separate': (41_720_272, 3097),
  'patch1': (41_054_062, 1886),
  'patch1_separate': (41_718_736, 3096),
  'conv': (41_102_074, 464),
  'conv_separate': (41_765_530, 540),
  'conv_light': (27_953_914, 147),
}


def parameters_by_hand(conv, patch, separate, num_latents, num_layers):
  """Weights and biases, one by one."""
  d, features = 512, 64
  c = features + (3 if separate else 2) * (2 * 64 + 1)

  def dense(i, o):
    return i * o + o

  def cross(q, kv, width):
    attention = dense(q, width) + 2 * dense(kv, width) + dense(width, q)
    return attention + 2 * (2 * q) + 2 * kv + 2 * dense(q, q)

  pixels = 3 * patch**2 * (1 if separate else 2)
  if conv:
    first = 49 * pixels * features + 2 * features
    last = dense(c, 64) + dense(64, 2) + dense(64, 9 * 4 * 4)
  else:
    first, last = dense(pixels, features), dense(c, 2)
  layer = 4 * dense(d, d) + 2 * dense(d, d) + 4 * d
  encoder = num_latents * d + cross(d, c, c) + num_layers * layer
  return first + encoder + cross(c, d, d) + last


@pytest.mark.parametrize('variant', SIZES)
def test_sizes(variant):
  config = config_lib.get_config(variant)
  config.model.encoder.update(implementation='plain', fold_projections=False)
  model = task_lib.make_task(config).model
  frames = jax.ShapeDtypeStruct((1, 2, 368, 496, 3), 'float32')
  variables = jax.eval_shape(model.init, jax.random.key(0), frames)
  num_params, gflops = SIZES[variant]
  assert cost.num_params(variables['params']) == num_params
  assert num_params == parameters_by_hand(
    conv='conv' in variant,
    patch=3 if 'patch3' in variant else 1,
    separate='separate' in variant,
    num_latents=1024 if 'light' in variant else 2048,
    num_layers=16 if 'light' in variant else 24,
  )
  found = 2e-9 * cost.multiply_adds(model.apply, variables, frames)
  assert found == pytest.approx(gflops, rel=2e-3)
  # What docs/paper-tables.md shows.
  name = 'perceiver_io/optical_flow'
  recorded = json.loads(paper_tables.PUBLISHED.read_text())['counted'][
    name if variant == 'patch3' else f'{name}:{variant}'
  ]
  assert recorded['parameters'] == num_params
  assert found == pytest.approx(2e-9 * recorded['multiply_adds'])

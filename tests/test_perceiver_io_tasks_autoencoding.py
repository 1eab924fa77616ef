"""Autoencoding: losses of drawn points, masked labels, PSNR in float64."""

import dataclasses
import functools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_io.tasks import autoencoding
from tests.compiled_task import CompiledTask
from tests.small_autoencoder import (
  CLASSES,
  NUM_POINTS,
  SAMPLES,
  VIDEO,
  make_example,
  make_model,
)

WEIGHTS = {'image': 0.03, 'audio': 1.0, 'label': 1e-4}


def make_task(model=None, decode_mib=10.0, **changes):
  options = dict(
    num_classes=CLASSES,
    num_points={'audio': 4, 'image': 9},
    loss_weights=WEIGHTS,
    label_mask_rate=0.5,
    decode_mib=decode_mib,
  )
  return autoencoding.Autoencoding(
    model=model or make_model(), **options | changes
  )


def make_batch(size=3):
  rng = np.random.default_rng(1)
  return {
    'image': rng.random((size, *VIDEO, 3), dtype='f'),
    'audio': rng.uniform(-1, 1, (size, SAMPLES, 1)).astype('f'),
    'label': np.arange(size, dtype=np.int32) % CLASSES,
    'mask': np.float32([1] * (size - 1) + [0]),
  }


@dataclasses.dataclass(frozen=True)
class Table:
  """Stands for a model: what it says of each point is its parameter.

  Notes what it is asked.
  """

  queries: dict
  asked: list = dataclasses.field(default_factory=list)

  def apply(self, variables, inputs, points, mask_probs, train, rngs):
    assert train and rngs.keys() == {'mask'}
    self.asked.append((points, mask_probs, inputs))
    tables = variables['params']
    image, audio = (
      jnp.take_along_axis(tables[name], points[name][..., None], axis=1)
      for name in ('image', 'audio')
    )
    return {
      'image': image,
      'audio': audio.reshape(len(audio), -1),
      'label': tables['label'],
    }


def make_table():
  rng = np.random.default_rng(2)
  model = Table(
    {
      'image': types.SimpleNamespace(index_dims=VIDEO),
      'audio': types.SimpleNamespace(index_dims=(SAMPLES // 4,)),
    }
  )
  shapes = {'image': (3, 64, 3), 'audio': (3, 6, 4), 'label': (3, CLASSES)}
  params = {k: rng.standard_normal(s).astype('f') for k, s in shapes.items()}
  return model, {'params': params}


def test_loss_is_the_published_sum_over_the_drawn_points():
  model, variables = make_table()
  task, batch = make_task(model), make_batch()

  def loss_fn(variables):
    return task.loss(variables, batch, jax.random.key(0))

  grads, aux = jax.grad(loss_fn, has_aux=True)(variables)
  loss, _ = loss_fn(variables)
  points, mask_probs, inputs = model.asked[-1]
  assert mask_probs == {'label': 0.5}
  np.testing.assert_array_equal(
    inputs['label'], np.eye(CLASSES)[batch['label']]
  )
  params = {k: v.astype('d') for k, v in variables['params'].items()}
  targets = {
    'image': batch['image'].reshape(3, 64, 3).astype('d'),
    'audio': batch['audio'].reshape(3, 6, 4).astype('d'),
  }
  parts = {'label': 0.0, 'image': 0.0, 'audio': 0.0}
  for b in range(2):  # The third is padding.
    for name, target in targets.items():
      chosen = np.asarray(points[name][b])
      errors = [np.abs(params[name][b, i] - target[b, i]) for i in chosen]
      parts[name] += np.mean(errors) / 2
      drawn = np.isin(np.arange(NUM_POINTS[name]), chosen)
      gradient = np.abs(grads['params'][name][b]).max(axis=-1)
      np.testing.assert_array_equal(gradient > 0, drawn)
    logits = params['label'][b]
    parts['label'] += np.log(np.exp(logits).sum()) / 2
    parts['label'] -= logits[batch['label'][b]] / 2
  expected = sum(WEIGHTS[name] * part for name, part in parts.items())
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  assert aux.weight == 2
  found = {name: float(value) for name, value in aux.scalars.items()}
  assert found == pytest.approx(
    {f'{name}_loss': part for name, part in parts.items()}, rel=1e-5
  )
  assert not any(np.any(g[2]) for g in grads['params'].values())


def test_points_are_drawn_anew_from_all_of_every_example():
  model, variables = make_table()
  task, batch = make_task(model), make_batch()
  for i in range(60):
    task.loss(variables, batch, jax.random.key(i))
  for name, total in NUM_POINTS.items():
    drawn = np.stack([points[name] for points, _, _ in model.asked])
    assert drawn.shape == (60, 3, task.num_points[name])
    for b in range(3):
      assert set(drawn[:, b].ravel()) == set(range(total))
    assert np.any(drawn[:, 0] != drawn[:, 1])
    assert len({points.tobytes() for points in drawn}) == 60


@pytest.fixture(scope='module')
def variables():
  variables = make_example()[0]
  # Of what is predicted some is beyond the range, above and below.
  params = variables['params']
  for name, bias in (('image', [-1.5, 0.5, 1.5]), ('audio', [-2, 0, 0, 2])):
    params[f'outputs_{name}']['linear']['bias'] = np.float32(bias)
  return variables


def test_a_masked_label_is_not_seen(variables):
  """The other label changes the prediction unless it is masked."""
  task, batch = make_task(), make_batch()
  other = {**batch, 'label': (batch['label'] + 1) % CLASSES}

  def losses_of_logits(rate):
    task = make_task(label_mask_rate=rate)

    @jax.jit
    def loss(batch):
      _, aux = task.loss(variables, batch, jax.random.key(0))
      return aux.scalars

    return loss(batch), loss(other)

  for rate, same in ((1.0, True), (0.0, False)):
    one, two = losses_of_logits(rate)
    assert (abs(one['image_loss'] - two['image_loss']) < 1e-6) == same
    assert abs(one['label_loss'] - two['label_loss']) > 1e-3
  predict = jax.jit(task.predict)
  one, two = predict(variables, batch), predict(variables, other)
  jax.tree.map(np.testing.assert_array_equal, one, two)


def naive_psnr(x, target, mask):
  square = [
    np.mean((a.astype('d') - b.astype('d')) ** 2)
    for a, b, counts in zip(x, target, mask, strict=True)
    if counts
  ]
  return 10 * math.log10(1 / np.mean(square))


def test_metrics_in_float64(variables):
  task, batch = make_task(), make_batch(5)
  found = jax.jit(task.predict)(variables, batch)
  right = np.array([1, 0, 1, 1, 0])
  best = np.argmax(found['label'], axis=1)
  batch['label'] = ((best + 1 - right) % CLASSES).astype(np.int32)
  # Beyond the ranges of pixels and samples the model is cut.
  whole = jax.jit(
    functools.partial(task.model.apply, mask_probs={'label': 1.0})
  )(
    variables,
    {
      'image': batch['image'],
      'audio': batch['audio'],
      'label': np.eye(CLASSES, dtype='f')[batch['label']],
    },
  )
  image = np.clip(whole['image'].reshape(batch['image'].shape), 0, 1)
  audio = np.clip(whole['audio'], -1, 1)
  for x, ends in ((image, (0, 1)), (audio, (-1, 1))):
    assert all(0 < np.mean(x == end) < 0.9 for end in ends)
  np.testing.assert_allclose(found['image'], image, atol=1e-5)
  np.testing.assert_allclose(found['audio'], audio, atol=1e-5)

  mask, truth = batch['mask'], batch['audio'][..., 0]
  colour = batch['image'].mean(axis=(1, 2, 3), keepdims=True)
  still = batch['image'].mean(axis=1, keepdims=True)
  expected = {
    'image_psnr': naive_psnr(image, batch['image'], mask),
    'image_psnr_of_mean': naive_psnr(colour, batch['image'], mask),
    'image_psnr_of_still': naive_psnr(still, batch['image'], mask),
    'audio_psnr': naive_psnr(audio, truth, mask),
    'audio_psnr_of_silence': naive_psnr(0 * truth, truth, mask),
    'accuracy': 3 / 4,
  }
  measure = jax.jit(task.metrics)
  metrics = measure(variables, batch)
  assert {k: m.compute() for k, m in metrics.items()} == pytest.approx(
    expected, rel=1e-5
  )
  # In parts of unequal size they are the same.
  parts = [
    measure(variables, {**batch, 'mask': np.float32(m)})
    for m in ([1, 0, 0, 0, 0], [0, 1, 1, 1, 0])
  ]
  merged = {k: parts[0][k].merge(parts[1][k]).compute() for k in metrics}
  assert merged == pytest.approx(expected, rel=1e-5)


@pytest.mark.full
def test_memory_decides_the_chunks_and_nothing_else(variables):
  batch = make_batch(2)
  found = [
    jax.jit(make_task(decode_mib=mib).predict)(variables, batch)
    for mib in (0.002, 0.004, 10.0)
  ]
  for other in found[:2]:
    for name, x in found[2].items():
      np.testing.assert_allclose(other[name], x, atol=1e-5)


def test_psnr_of_a_perfect_copy_is_infinite():
  x = np.ones((1, 3), 'f')
  assert autoencoding.Psnr.of(x, x, np.ones(1, 'f')).compute() == math.inf


def test_what_a_clip_lacks_does_not_count(variables):
  """Neither in the loss nor in the metrics: of all others it is the mean."""
  task = CompiledTask(make_task())
  batch = make_batch()
  lacking = {**batch, 'has_audio': np.float32([0, 1, 1])}

  def parts(batch):
    loss, aux = task.loss(variables, batch, jax.random.key(0))
    return float(loss), jax.tree.map(float, aux.scalars)

  loss, scalars = parts(lacking)
  first = {**batch, 'mask': np.float32([1, 0, 0])}
  second = {**batch, 'mask': np.float32([0, 1, 0])}
  (loss_1, parts_1), (loss_2, parts_2) = parts(first), parts(second)
  assert scalars['audio_loss'] == pytest.approx(parts_2['audio_loss'], rel=1e-4)
  expected = (loss_1 + loss_2 - WEIGHTS['audio'] * parts_1['audio_loss']) / 2
  assert loss == pytest.approx(expected, rel=1e-4)
  found = task.metrics(variables, lacking)
  alone = task.metrics(variables, second)
  for name in ('audio_psnr', 'audio_psnr_of_silence'):
    assert found[name].compute() == pytest.approx(alone[name].compute(), 1e-4)
  both = task.metrics(variables, batch)
  assert found['image_psnr'].compute() == both['image_psnr'].compute()

"""The segmentation task: what it minimises, measures and learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import brain
from paca_vit.tasks import segmentation
from tests import golden_paca
from tests.compiled_task import variables_of
from train_lib import task as task_lib

NUM_CLASSES = 4


def config():
  config = brain.get_config('tiny')
  config.model.num_clusters = (4, 3)
  config.model.decode_head.dropout_rate = 0.0
  return config


def batch(size=4):
  rng = np.random.default_rng(0)
  labels = rng.integers(0, NUM_CLASSES, (size, 16, 20))
  labels[rng.random(labels.shape) < 0.3] = 255
  labels[0] = 255
  return {
    'image': rng.standard_normal((size, 16, 20, 1)).astype(np.float32),
    'label': labels.astype(np.int32),
    'mask': np.ones(size, np.float32),
  }


@pytest.fixture(scope='module')
def task_and_variables():
  task = task_lib.make_task(config())
  return task, variables_of(task, batch())


@dataclasses.dataclass(frozen=True)
class Fixed:
  """Stands for a model: logits are its only parameters."""

  def apply(self, variables, images, train, **_):
    outputs = segmentation.segmentation.Outputs(**variables['params'])
    return (outputs, {}) if train else outputs


def fixed_task(**options):
  options = dict(auxiliary_weight=0.4, mean_over_ignored=False) | options
  return segmentation.Segmentation(Fixed(), NUM_CLASSES, **options)


def fixed_variables(size=4):
  rng = np.random.default_rng(1)
  shape = (size, 16, 20, NUM_CLASSES)
  return {
    'params': {
      'logits': rng.standard_normal(shape).astype(np.float32),
      'auxiliary_logits': rng.standard_normal(shape).astype(np.float32),
    }
  }


def cross_entropy(logits, data):
  """Sum over the labelled pixels, in float64 and one by one."""
  total, count = 0.0, 0
  for example, labels, mask in zip(
    logits.astype(np.float64), data['label'], data['mask'], strict=True
  ):
    for row, column in np.argwhere((labels != 255) & (mask > 0)):
      x = example[row, column]
      total += np.log(np.exp(x).sum()) - x[labels[row, column]]
      count += 1
  return total, count


def test_loss_is_the_mean_over_labelled_pixels():
  data, variables = batch(), fixed_variables()
  main, count = cross_entropy(variables['params']['logits'], data)
  auxiliary, _ = cross_entropy(variables['params']['auxiliary_logits'], data)
  loss, aux = fixed_task().loss(variables, data, jax.random.key(0))
  np.testing.assert_allclose(loss, (main + 0.4 * auxiliary) / count, rtol=1e-5)
  assert aux.weight == count
  loss, aux = fixed_task(mean_over_ignored=True).loss(
    variables, data, jax.random.key(0)
  )
  num_pixels = 4 * 16 * 20
  np.testing.assert_allclose(
    loss, (main + 0.4 * auxiliary) / num_pixels, rtol=1e-5
  )
  assert aux.weight == num_pixels


def test_ignored_pixels_and_padding_have_no_gradient():
  data, variables = batch(), fixed_variables()
  data['mask'][3] = 0
  gradient = jax.grad(
    lambda v: fixed_task().loss(v, data, jax.random.key(0))[0]
  )(variables)['params']
  counted = (data['label'] != 255) & (data['mask'] > 0)[:, None, None]
  for value in gradient.values():
    assert np.all(value[~counted] == 0)
    assert np.all(np.abs(value[counted]).max(axis=-1) > 0)


def test_metrics_do_not_see_padding_and_merge():
  variables = fixed_variables()
  whole = fixed_task().metrics(variables, batch())
  parts = []
  for mask in ([1, 1, 0, 0], [0, 0, 1, 1]):
    data = batch() | {'mask': np.float32(mask)}
    parts.append(fixed_task().metrics(variables, data))
  assert set(whole) == {'loss', 'mean_iou', 'mean_class_accuracy', 'accuracy'}
  for name, metric in whole.items():
    merged = parts[0][name].merge(parts[1][name])
    np.testing.assert_allclose(merged.compute(), metric.compute(), rtol=1e-6)
  total, count = cross_entropy(variables['params']['logits'], batch())
  np.testing.assert_allclose(whole['loss'].compute(), total / count, rtol=1e-5)


@pytest.mark.full
def test_predict_gives_logits_of_the_images_size_and_the_clusters(
  task_and_variables,
):
  task, variables = task_and_variables
  outputs = golden_paca.jit(task.predict)(variables, batch())
  assert outputs['logits'].shape == (4, 16, 20, NUM_CLASSES)
  maps = outputs['cluster_maps']
  assert {k: v.shape for k, v in maps.items()} == {
    'stage_1': (4, 4, 4, 5),
    'stage_2': (4, 3, 2, 3),
    'head': (4, NUM_CLASSES, 4, 5),
  }
  for value in maps.values():
    np.testing.assert_allclose(value.sum(axis=(2, 3)), 1, rtol=1e-5)


@pytest.mark.full
def test_a_few_steps_fit_a_batch(task_and_variables):
  task, variables = task_and_variables
  data = batch()
  coarse = np.random.default_rng(0).integers(0, NUM_CLASSES, (4, 4, 5))
  data['label'] = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.int32)
  data['image'] = data['image'] * 0.1 + data['label'][..., None]

  @golden_paca.jit
  def step(variables):
    def loss(params):
      return task.loss(variables | {'params': params}, data, jax.random.key(0))

    (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(
      variables['params']
    )
    params = jax.tree.map(
      lambda p, g: p - 0.1 * g, variables['params'], gradient
    )
    return {'params': params, **aux.model_state}, value

  values = []
  before = variables
  for _ in range(40):
    variables, value = step(variables)
    values.append(float(value))
  assert values[-1] < 0.7 * values[0]
  moved = jax.tree.map(
    lambda a, b: bool(jnp.any(a != b)),
    before['batch_stats'],
    variables['batch_stats'],
  )
  assert all(jax.tree.leaves(moved))


def test_clusters_must_be_the_classes():
  wrong = config()
  wrong.model.decode_head.num_clusters = 7
  with pytest.raises(ValueError, match='num_clusters.*expected num_classes 4'):
    task_lib.make_task(wrong)

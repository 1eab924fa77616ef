"""The classification task: what it minimises, measures and learns."""

import dataclasses

import jax
import ml_collections
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit.tasks import classification
from tests import golden_paca
from tests.compiled_task import variables_of
from train_lib import labels
from train_lib import task as task_lib


def config(**model):
  return ml_collections.ConfigDict(
    dict(
      task=dict(
        module='paca_vit.tasks.classification',
        mixing=None,
        label_smoothing=0.0,
      ),
      model=dict(
        models.model('demo'),
        **dict(
          dict(
            channels=(8,),
            depths=(2,),
            num_heads=(2,),
            num_clusters=(4,),
            clustering=dict(kind='LinearClustering'),
          ),
          **model,
        ),
      ),
    )
  )


TEACHER = dict(
  clustering=dict(kind='ClusteringTeacher', depths=(1,), kernel_size=3)
)


def batch(size=6):
  rng = np.random.default_rng(0)
  return {
    'image': rng.standard_normal((size, 12, 12, 1)).astype(np.float32),
    'label': rng.integers(0, 10, size).astype(np.int32),
    'mask': np.ones(size, np.float32),
  }


@pytest.fixture(scope='module')
def task_and_variables():
  task = task_lib.make_task(config())
  return task, init(task)


def init(task):
  return variables_of(task, batch())


_LOSSES = {}  # compiled once a task, which it keeps alive


def loss(task, variables, batch, seed=0):
  if id(task) not in _LOSSES:
    _LOSSES[id(task)] = task, golden_paca.jit(task.loss)
  return _LOSSES[id(task)][1](variables, batch, jax.random.key(seed))


def test_loss_is_the_mean_cross_entropy(task_and_variables):
  task, variables = task_and_variables
  value, aux = loss(task, variables, batch())
  logits = golden_paca.jit(task.predict)(variables, batch())['logits']
  log_probs = jax.nn.log_softmax(logits)[np.arange(6), batch()['label']]
  np.testing.assert_allclose(value, -log_probs.mean(), rtol=1e-5)
  hits = np.argmax(logits, -1) == batch()['label']
  np.testing.assert_allclose(aux.scalars['accuracy'], hits.mean())
  assert aux.weight == 6
  assert aux.model_state == {}


def test_smoothing_is_of_integer_labels_only(task_and_variables):
  task, variables = task_and_variables
  smooth = dataclasses.replace(task, labels=labels.Classes(10, 0.3))
  targets = np.eye(10, dtype=np.float32)[batch()['label']]
  hard, _ = loss(task, variables, batch())
  soft, aux = loss(smooth, variables, batch() | {'label': targets})
  np.testing.assert_allclose(soft, hard, rtol=1e-6)
  assert aux.scalars == {}
  spread, _ = loss(task, variables, batch() | {'label': 0.7 * targets + 0.03})
  smoothed, _ = loss(smooth, variables, batch())
  np.testing.assert_allclose(smoothed, spread, rtol=1e-6)


@pytest.mark.full
def test_mixing_is_applied_to_training_alone(task_and_variables):
  task, variables = task_and_variables

  def swap(rng, images, labels):
    del rng
    return images[::-1], jax.nn.one_hot(labels[::-1], 10)

  mixed = dataclasses.replace(task, mixing=swap)
  a, _ = loss(mixed, variables, batch())
  b, _ = loss(task, variables, batch())
  np.testing.assert_allclose(a, b, rtol=1e-5)

  def misplace(rng, images, labels):
    return swap(rng, images, labels)[0], jax.nn.one_hot(labels, 10)

  mixed = dataclasses.replace(task, mixing=misplace)
  assert abs(loss(mixed, variables, batch())[0] - b) > 1e-4
  metrics = [
    golden_paca.jit(t.metrics)(variables, batch())['loss'].compute()
    for t in (task, mixed)
  ]
  assert metrics[0] == metrics[1]


def test_metrics_do_not_see_padding_and_merge(task_and_variables):
  task, variables = task_and_variables
  measure = golden_paca.jit(task.metrics)
  whole = measure(variables, batch())
  padded = batch()
  padded['mask'] = np.array([1, 1, 1, 0, 0, 0], np.float32)
  padded['image'][3:] = np.nan
  padded['label'][3:] = -1
  rest = {k: np.roll(v, 3, axis=0) for k, v in batch().items()}
  rest['mask'] = padded['mask']
  first, second = measure(variables, padded), measure(variables, rest)
  assert set(whole) == {'loss', 'accuracy', 'top5'}
  for name, metric in whole.items():
    merged = first[name].merge(second[name])
    np.testing.assert_allclose(merged.compute(), metric.compute(), rtol=1e-5)


def test_top5_contains_the_label_when_it_is_among_five(task_and_variables):
  task, variables = task_and_variables
  data = batch(5)
  logits = golden_paca.jit(task.predict)(variables, data)['logits']
  order = np.argsort(logits, axis=-1)
  data['label'] = np.array([order[i, -1 - 2 * i] for i in range(5)])
  got = golden_paca.jit(task.metrics)(variables, data)
  # Ranks 1, 3, 5, 7, 9.
  assert got['accuracy'].compute() == pytest.approx(1 / 5)
  assert got['top5'].compute() == pytest.approx(3 / 5)


def test_no_top5_of_five_classes():
  task = task_lib.make_task(config(num_classes=5))
  data = batch() | {'label': np.zeros(6, np.int32)}
  shapes = jax.eval_shape(task.init, jax.random.key(0), data)
  assert set(jax.eval_shape(task.metrics, shapes, data)) == {'loss', 'accuracy'}


def test_batch_statistics_come_back_and_metrics_use_them():
  task = task_lib.make_task(config(**TEACHER))
  variables = init(task)
  value, aux = loss(task, variables, batch())
  assert set(aux.model_state) == {'batch_stats'}
  before, after = variables['batch_stats'], aux.model_state['batch_stats']
  assert jax.tree.structure(before) == jax.tree.structure(after)
  moved = jax.tree.map(lambda a, b: np.any(a != b), before, after)
  assert all(jax.tree.leaves(moved))
  measure = golden_paca.jit(task.metrics)
  first = measure(variables, batch())['loss'].compute()
  second = measure(variables | aux.model_state, batch())['loss'].compute()
  assert first != second


def test_drop_path_follows_the_rng():
  task = task_lib.make_task(config(drop_path_rate=0.5))
  variables = init(task)
  values = [
    float(loss(task, variables, batch(), seed)[0]) for seed in (0, 0, 1)
  ]
  assert values[0] == values[1] != values[2]


def test_a_few_steps_fit_a_batch(task_and_variables):
  task, variables = task_and_variables
  data = batch()

  @golden_paca.jit
  def step(params):
    gradient, _ = jax.grad(
      lambda p: task.loss({'params': p}, data, jax.random.key(0)),
      has_aux=True,
    )(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)

  first = loss(task, variables, data)[0]
  params = variables['params']
  for _ in range(20):
    params = step(params)
  assert loss(task, {'params': params}, data)[0] < 0.5 * first


def test_the_task_of_a_config_is_this_one():
  assert isinstance(task_lib.make_task(config()), classification.Classification)

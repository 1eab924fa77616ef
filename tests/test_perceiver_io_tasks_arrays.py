"""Perceiver IO on arrays: sets are sets, masks hide, numbers have units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.perceiver_io import arrays as config_file
from data.arrays import arrays as arrays_data
from perceiver_io.position_encoding import fourier_features
from tests.compiled_task import CompiledTask, variables_of
from train_lib import batch_layout
from train_lib.task import make_task

RNG = np.random.default_rng(0)


def make(kind, num_outputs, dense=False, y_mean=(), y_std=(), decoded=True):
  config = config_file.get_config('tiny')
  if not decoded:  # the original Perceiver
    config.model.decoder = config.model.channels = None
  config.task.update(
    kind=kind, num_outputs=num_outputs, dense=dense, y_mean=y_mean, y_std=y_std
  )
  config.model.max_resolution = (6, 6)
  return CompiledTask(make_task(config))


def batch_of(label, label_mask=None, num=4, queries=None):
  batch = {
    'x': RNG.normal(size=(num, 7, 3)).astype(np.float32),
    'coordinates': RNG.uniform(-1, 1, (num, 7, 2)).astype(np.float32),
    'input_mask': np.ones((num, 7), np.float32),
    'mask': np.ones(num, np.float32),
    'label': label,
    'label_mask': np.ones(np.shape(label), np.float32),
  }
  if label_mask is not None:
    batch['label_mask'] = label_mask
  return batch if queries is None else batch | {'queries': queries}


def initialised(task, batch):
  """Random heads, so that outputs differ."""
  variables = variables_of(task, batch)
  return jax.tree.map(
    lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape),
    variables,
  )


def test_features_of_places_as_of_a_grid():
  places = RNG.uniform(-1, 1, (5, 2))
  np.testing.assert_allclose(
    fourier_features(jnp.asarray(places, jnp.float32), 8, (6, 9)),
    fourier_features(places, 8, (6, 9)),
    atol=1e-5,
  )


@pytest.mark.parametrize('decoded', [True, False])
def test_elements_are_a_set_and_masks_hide(decoded):
  task = make('classes', 3, decoded=decoded)
  batch = batch_of(np.array([0, 1, 2, 0]))
  batch['input_mask'][:, 5:] = 0
  variables = initialised(task, batch)
  logits = task.predict(variables, batch)['logits']
  assert logits.shape == (4, 3) and np.std(logits, axis=0).min() > 1e-3
  order = RNG.permutation(7)
  names = ('x', 'coordinates', 'input_mask')
  permuted = batch | {name: batch[name][:, order] for name in names}
  permuted['x'] = np.where(
    permuted['input_mask'][..., None] > 0, permuted['x'], 9
  )
  np.testing.assert_allclose(
    task.predict(variables, permuted)['logits'], logits, atol=1e-5
  )
  # Where an element is counts.
  batch['coordinates'] = batch['coordinates'][:, ::-1]
  moved = task.predict(variables, batch)['logits']
  assert abs(moved - logits).max() > 1e-3


def test_without_a_decoder_outputs_are_of_the_mean_over_latents():
  task = make('classes', 3, decoded=False)
  batch = batch_of(np.array([0, 1, 2, 0]))
  variables = initialised(task, batch)
  params = variables['params']
  assert set(params) == {'encoder', 'outputs'}
  inputs = jnp.concatenate(
    [
      batch['x'],
      fourier_features(jnp.asarray(batch['coordinates']), 8, (6, 6)),
    ],
    axis=-1,
  )
  latents = task.model.encoder.apply({'params': params['encoder']}, inputs)
  linear = params['outputs']['linear']
  expected = latents.mean(axis=1) @ linear['kernel'] + linear['bias']
  np.testing.assert_allclose(
    task.predict(variables, batch)['logits'], expected, atol=1e-5
  )


def test_a_decoder_is_needed_to_ask():
  config = config_file.get_config('tiny')
  config.task.update(kind='classes', num_outputs=3, dense=True)
  config.model.max_resolution = (6, 6)
  config.model.channels = None
  with pytest.raises(ValueError, match='config.model.channels: found None'):
    make_task(config)
  config.model.decoder = None
  with pytest.raises(ValueError, match='config.model.decoder: found None'):
    make_task(config)


def test_each_query_has_its_own_output():
  """What is asked at one place does not depend on what else is asked."""
  queries = RNG.uniform(-1, 1, (4, 5, 2)).astype(np.float32)
  task = make('numbers', 2, True, (0.0, 0.0), (1.0, 1.0))
  batch = batch_of(np.zeros((4, 5, 2), np.float32), queries=queries)
  variables = initialised(task, batch)
  whole = task.predict(variables, batch)['numbers']
  assert whole.shape == (4, 5, 2) and np.std(whole, axis=1).min() > 1e-4
  one = batch | {'queries': queries[:, 3:4]}
  np.testing.assert_allclose(
    task.predict(variables, one)['numbers'], whole[:, 3:4], atol=1e-5
  )


def test_loss_and_metrics_of_numbers():
  """Against a plain float64 computation; what is not known does not count."""
  mean, std = (100.0, -5.0), (20.0, 0.5)
  label = RNG.normal(size=(4, 7, 2)) * std + mean
  known = (RNG.uniform(size=label.shape) < 0.7).astype(np.float32)
  batch = batch_of(label.astype(np.float32), known)
  batch['label'] = np.where(known > 0, batch['label'], np.float32(1e30))
  batch['mask'][3] = 0
  task = make('numbers', 2, True, mean, std)
  variables = initialised(task, batch)
  found = np.float64(task.predict(variables, batch)['numbers'])
  counted = (known * batch['mask'][:, None, None]) > 0
  error = (found - label)[counted]
  scaled = ((found - label) / std)[counted]
  metrics = task.metrics(variables, batch)
  values = {name: x.compute() for name, x in metrics.items()}
  assert values['rmse'] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
  assert values['mae'] == pytest.approx(np.mean(abs(error)), rel=1e-5)
  assert values['loss'] == pytest.approx(np.mean(scaled**2), rel=1e-4)
  loss, aux = task.loss(variables, batch, jax.random.key(0))
  assert float(loss) == pytest.approx(np.mean(scaled**2), rel=1e-4)
  assert float(aux.weight) == counted.sum()


def test_classes_of_elements():
  label = RNG.integers(0, 3, (4, 7)).astype(np.int32)
  known = (RNG.uniform(size=label.shape) < 0.7).astype(np.float32)
  task = make('classes', 3, True)
  batch = batch_of(label, known)
  variables = initialised(task, batch)
  logits = task.predict(variables, batch)['logits']
  hits = (logits.argmax(-1) == label)[known > 0]
  metrics = task.metrics(variables, batch)
  assert metrics['accuracy'].compute() == pytest.approx(hits.mean())
  assert task.label_ranges == {'label': (3, None)}
  grads = jax.grad(lambda v: task.loss(v, batch, None)[0])(variables)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_batches_of_the_data_set_fit():
  source = arrays_data.synthetic('train')
  options = arrays_data.derived(source)
  preprocess = {
    name: options[f'data.preprocess.{name}']
    for name in ('mean', 'std', 'low', 'high')
  }
  examples = [
    arrays_data.preprocess(
      source[i], train=False, rng=None, shift=0.0, **preprocess
    )
    for i in range(4)
  ]
  batch = batch_layout.collate(examples)
  config = config_file.get_config('tiny')
  config.model.max_resolution = options['model.max_resolution']
  config.task.update(
    kind='classes', num_outputs=3, dense=False, y_mean=(), y_std=()
  )
  task = CompiledTask(make_task(config))
  variables = variables_of(task, batch)
  assert task.predict(variables, batch)['logits'].shape == (4, 3)


def test_a_kind_that_the_labels_are_not_of():
  with pytest.raises(ValueError, match="kind: found 'numbers' of 3 outputs, "):
    make('numbers', 3)
  with pytest.raises(ValueError, match='but the labels are numbers'):
    make('classes', 1, False, (0.0,), (1.0,))

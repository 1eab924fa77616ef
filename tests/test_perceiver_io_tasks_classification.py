"""Classification with Perceivers: configs, task, invariance to permutations."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.perceiver_io import imagenet, mnist5k
from perceiver_io.tasks import classification
from tests.compiled_task import variables_of
from train_lib import mixing, optim
from train_lib import task as task_lib


def batch(size, height=28, channels=1, num_classes=10):
  rng = np.random.default_rng(0)
  shape = (size, height, height, channels)
  return {
    'image': rng.standard_normal(shape).astype(np.float32),
    'label': rng.integers(0, num_classes, size).astype(np.int32),
    'mask': np.ones(size, np.float32),
  }


@functools.cache
def tiny(kind='fourier'):
  """A task for 6 x 6 images, and its variables."""
  config = mnist5k.get_config('tiny')
  if kind == 'learned':
    config.model.inputs = mnist5k.get_config('learned').model.inputs
    config.model.inputs.image_size = (6, 6)
  elif kind == 'conv':
    config.model.inputs = imagenet.get_config('conv').model.inputs
    config.model.inputs.update(channels=8, num_bands=4)
  elif kind == 'pooled':
    config.model.decoder = None
  task = task_lib.make_task(config)
  return task, variables_of(task, batch(1, 6))


@pytest.mark.full
def test_a_step_of_full_size_is_traced():
  """Not run. test_perceiver_io_counts.py counts its parameters."""
  task = task_lib.make_task(imagenet.get_config('conv'))
  data = batch(4, 224, 3, 1000)
  variables = jax.eval_shape(task.init, jax.random.key(0), data)
  loss, aux = jax.eval_shape(task.loss, variables, data, jax.random.key(0))
  assert loss.shape == ()
  assert set(aux.model_state) == set(variables) - {'params'} == {'batch_stats'}


def test_imagenet_variants_do_not_touch_each_other():
  before = imagenet.get_config('fourier').to_json()
  imagenet.get_config('fourier_jft').model.inputs.num_bands = 3
  assert imagenet.get_config('fourier').to_json() == before


def test_imagenet_schedule_is_flat_then_cosine():
  config = imagenet.get_config('fourier')
  assert config.num_steps == 137_625
  assert config.data.batch_size == 2 * 1024
  _, schedule = optim.make_optimizer(config.optim, config.num_steps)
  at = [float(schedule(s)) for s in (0, 68_812, 103_219, 137_625)]
  np.testing.assert_allclose(at, [2e-3, 2e-3, 1e-3, 0], rtol=1e-4, atol=1e-9)
  config = imagenet.get_config('original_repeated')
  _, schedule = optim.make_optimizer(config.optim, config.num_steps)
  epochs = [0, 83.9, 84.1, 101.9, 102.1, 113.9, 114.1]
  at = [float(schedule(int(e * 1_281_167 / 1024))) for e in epochs]
  expected = [4e-3, 4e-3, 4e-4, 4e-4, 4e-5, 4e-5, 4e-6]
  np.testing.assert_allclose(at, expected, rtol=1e-4)


def test_imagenet_decays_positions_and_latents_but_no_bias_or_norm():
  config = imagenet.get_config('learned')
  config.model.encoder.update(num_self_attends_per_block=1, num_latents=8)
  task = task_lib.make_task(config)
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  shapes = jax.eval_shape(task.init, jax.random.key(0), batch(1, 224, 3))
  names = {'bias', 'scale', 'table', 'latents', 'kernel'}
  leaf = {name: jnp.ones(2) for name in names}
  found = jax.tree_util.tree_leaves_with_path(shapes['params'])
  assert {path[-1].key for path, _ in found} == names
  updates, _ = tx.update(
    jax.tree.map(jnp.zeros_like, leaf), tx.init(leaf), leaf
  )
  decayed = {name for name, u in updates.items() if np.any(u != 0)}
  assert decayed == {'table', 'latents', 'kernel'}


@pytest.mark.parametrize('kind', ['fourier', 'learned', 'conv', 'pooled'])
def test_a_few_steps_fit_a_batch(kind):
  task, variables = tiny(kind)
  data = batch(8, 6)
  params, state = variables['params'], dict(variables)
  del state['params']
  tx = optax.adam(3e-3)
  opt_state = tx.init(params)

  @jax.jit
  def step(params, state, opt_state):
    def loss(p):
      return task.loss({'params': p, **state}, data, jax.random.key(0))

    (value, aux), grad = jax.value_and_grad(loss, has_aux=True)(params)
    updates, opt_state = tx.update(grad, opt_state)
    params = optax.apply_updates(params, updates)
    return params, aux.model_state, opt_state, value

  values = []
  for _ in range(20):
    params, new_state, opt_state, value = step(params, state, opt_state)
    values.append(float(value))
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    state = new_state
  assert values[-1] < 0.9 * values[0]
  if kind == 'conv':
    counter = state['batch_stats']['inputs']['features']['batch_norm_0']
    assert int(counter['counter']) == 20


def test_metrics_ignore_padding():
  task, variables = tiny()
  data = batch(6, 6)
  measure = jax.jit(task.metrics)
  padded = {k: v.copy() for k, v in data.items()}
  padded['mask'][4:] = 0
  padded['image'][4:] = np.nan
  found = measure(variables, padded)
  expected = measure(variables, data | {'mask': np.float32([1, 1, 1, 1, 0, 0])})
  assert set(found) == {'loss', 'accuracy', 'top5'}
  for name in found:
    assert found[name].compute() == expected[name].compute()


@pytest.mark.full
def test_a_mixed_pair_is_one_example():
  task, variables = tiny()
  data = batch(8, 6)
  mixed = dataclasses.replace(task, mixing=mixing.HalvesMixing(10, 0.2, 0.1))
  loss, aux = jax.jit(mixed.loss)(variables, data, jax.random.key(3))
  assert aux.weight == 4
  images, targets = mixing.HalvesMixing(10, 0.2, 0.1)(
    jax.random.key(3), jnp.asarray(data['image']), jnp.asarray(data['label'])
  )
  logits = jax.jit(task.predict)(variables, {'image': images})['logits']
  expected = -np.mean(np.sum(targets * jax.nn.log_softmax(logits), axis=-1))
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_learned_positions_do_not_care_for_the_order_of_pixels():
  """Permuting pixels and table alike changes nothing; one of them does.

  The table's rows are drawn alike and independently, so a training on permuted
  pixels differs from one on others by the draw of its initialisation only.
  """
  task, variables = tiny('learned')
  image = batch(3, 6)['image']
  order = np.random.default_rng(1).permutation(36)
  permuted = image.reshape(3, 36, 1)[:, order].reshape(image.shape)
  table = variables['params']['inputs']['positions']['positions']['table']
  # As large as the pixels: what is 0.02 would hardly matter.
  big = jax.tree.map(lambda x: x, variables)
  positions = big['params']['inputs']['positions']['positions']
  positions['table'] = 50 * table
  moved = jax.tree.map(lambda x: x, big)
  positions = moved['params']['inputs']['positions']['positions']
  positions['table'] = 50 * table[order]

  predict = jax.jit(task.predict)

  def logits(variables, image):
    return np.asarray(predict(variables, {'image': image})['logits'])

  expected = logits(big, image)
  np.testing.assert_allclose(logits(moved, permuted), expected, atol=1e-5)
  assert np.abs(logits(big, permuted) - expected).max() > 1e-3


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match="found 'fourrier'; expected one of"):
    imagenet.get_config('fourrier')
  with pytest.raises(ValueError, match="found 'demo'; expected one of"):
    mnist5k.get_config('demo')
  config = mnist5k.get_config('tiny')
  config.model.inputs.kind = 'pixels'
  with pytest.raises(ValueError, match="inputs.kind: found 'pixels'; expected"):
    classification.make_task(config.task, config.model)

"""The classifier of texts: what it reads, what it counts, what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.perceiver_io import finetune_text
from data.language import table
from tests.compiled_task import CompiledTask, variables_of
from train_lib import run_files
from train_lib.task import label_ranges_of, make_task


@pytest.fixture(scope='module')
def setup():
  config = finetune_text.get_config('tiny')
  config.data.source = 'synthetic'
  config, classes = run_files.derived(config)
  task = CompiledTask(make_task(config))
  examples = [
    table.preprocess(x, train=True, rng=None, length=config.model.max_length)
    for x in table.synthetic('train', 12)
  ]
  batch = jax.tree.map(lambda *xs: jnp.stack(xs), *examples)
  batch['mask'] = jnp.ones(12)
  variables = variables_of(task, batch)
  return classes, task, batch, variables


def test_classes_are_those_of_the_table(setup):
  classes, task, batch, variables = setup
  assert classes == ('art', 'music', 'sport')
  assert label_ranges_of(task) == {'label': (3, None), 'ids': (262, None)}
  assert task.predict(variables, batch)['logits'].shape == (12, 3)


def test_what_is_padded_is_not_read(setup):
  _, task, batch, variables = setup
  predict = task.predict
  padded = batch['input_mask'] == 0
  assert padded.any() and not padded.all()
  changed = batch | {'ids': jnp.where(padded, 77, batch['ids'])}
  logits = predict(variables, batch)['logits']
  np.testing.assert_allclose(
    predict(variables, changed)['logits'], logits, atol=1e-5
  )
  read = batch | {'ids': jnp.where(padded, batch['ids'], 77)}
  assert np.abs(predict(variables, read)['logits'] - logits).max() > 1e-4


def test_metrics_leave_out_what_is_masked(setup):
  _, task, batch, variables = setup
  metrics = task.metrics
  half = batch | {'mask': jnp.arange(12) < 6}
  found = metrics(variables, half)
  logits = np.asarray(task.predict(variables, batch)['logits'])[:6]
  hits = logits.argmax(-1) == np.asarray(batch['label'])[:6]
  assert found['accuracy'].compute() == pytest.approx(hits.mean())


def test_learns_the_word_that_tells_the_class(setup):
  _, task, batch, variables = setup
  tx = optax.adam(3e-3)

  @jax.jit
  def step(variables, opt_state):
    def loss_fn(variables):
      return task.loss(variables, batch, jax.random.key(0))[0]

    loss, grads = jax.value_and_grad(loss_fn)(variables)
    updates, opt_state = tx.update(grads, opt_state)
    return optax.apply_updates(variables, updates), opt_state, loss

  opt_state, losses = tx.init(variables), []
  for _ in range(80):
    variables, opt_state, loss = step(variables, opt_state)
    losses.append(float(loss))
  assert losses[0] > 0.8 and losses[-1] < 0.2


@pytest.mark.full
def test_a_number_is_learnt_in_its_units():
  """Of two texts, from 1,000 and 2,000; classes have no such loss."""
  config = finetune_text.get_config('tiny')
  config.task.update(
    kind='numbers', num_outputs=1, y_mean=(1500.0,), y_std=(500.0,)
  )
  task = CompiledTask(make_task(config))
  assert 'label' not in label_ranges_of(task)  # any number
  examples = [
    table.preprocess(
      {'texts': [text], 'label': number, 'file_name': ''},
      train=True,
      rng=None,
      length=16,
    )
    for text, number in (('low', 1000.0), ('high', 2000.0))
  ]
  batch = jax.tree.map(lambda *xs: jnp.stack(xs), *examples)
  batch['mask'] = jnp.ones(2)
  variables = variables_of(task, batch)
  numbers = task.predict(variables, batch)['numbers']
  found = {k: x.compute() for k, x in task.metrics(variables, batch).items()}
  error = np.asarray(numbers[:, 0]) - [1000, 2000]
  assert found['mae'] == pytest.approx(abs(error).mean(), rel=1e-4)
  assert found['loss'] == pytest.approx(np.mean((error / 500) ** 2), rel=1e-4)
  tx = optax.adam(3e-3)
  state = tx.init(variables)

  @jax.jit
  def step(variables, state):
    grads = jax.grad(lambda v: task.loss(v, batch, None)[0])(variables)
    updates, state = tx.update(grads, state)
    return optax.apply_updates(variables, updates), state

  for _ in range(60):
    variables, state = step(variables, state)
  numbers = task.predict(variables, batch)['numbers'][:, 0]
  np.testing.assert_allclose(numbers, [1000, 2000], atol=50)

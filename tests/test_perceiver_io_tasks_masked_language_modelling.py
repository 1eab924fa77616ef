"""Masked language modelling: loss, metrics, baselines, configs."""

import dataclasses
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.perceiver_io import masked_language_modelling
from perceiver_io.evaluators import masked_baselines
from tests.compiled_task import variables_of
from train_lib import accumulation, cost, evaluators
from train_lib import task as task_lib


@pytest.fixture(scope='module')
def task_and_variables():
  config = masked_language_modelling.get_config('tiny')
  published = masked_language_modelling.get_config('base_bytes')
  config.task.unmasked_weight = published.task.unmasked_weight
  task = task_lib.make_task(config)
  return task, variables_of(task, batch())


def batch(size=4, length=64):
  rng = np.random.default_rng(0)
  targets = rng.integers(6, 262, (size, length)).astype(np.int32)
  loss_mask = (rng.random((size, length)) < 0.2).astype(np.float32)
  input_mask = np.ones((size, length), np.float32)
  input_mask[1, 40:] = loss_mask[1, 40:] = 0
  loss_mask[2] = 0  # An example may have no word that was drawn.
  return {
    'ids': np.where(loss_mask > 0, 3, targets).astype(np.int32),
    'targets': targets,
    'loss_mask': loss_mask,
    'input_mask': input_mask,
    'mask': np.ones(size, np.float32),
  }


def test_loss_is_the_mean_over_masked_tokens(task_and_variables):
  task, variables = task_and_variables
  data = batch()
  loss, aux = jax.jit(task.loss)(variables, data, jax.random.key(0))
  logits = np.asarray(task.predict(variables, data)['logits'], np.float64)
  total, hits, count = 0.0, 0, 0
  for b, m in zip(*np.nonzero(data['loss_mask']), strict=True):
    x, target = logits[b, m], data['targets'][b, m]
    total += np.log(np.sum(np.exp(x))) - x[target]
    hits += np.argmax(x) == target
    count += 1
  np.testing.assert_allclose(loss, total / count, rtol=1e-5)
  assert aux.weight == count
  np.testing.assert_allclose(aux.scalars['accuracy'], hits / count)


def test_decoding_only_masked_positions_is_the_same(task_and_variables):
  task, variables = task_and_variables
  data = batch()
  most = int(data['loss_mask'].sum(axis=1).max())
  few = dataclasses.replace(task, max_masked=most)

  def gradients(task):
    def loss(variables):
      return task.loss(variables, data, jax.random.key(0))

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)

  (loss, aux), grads = gradients(task)
  (few_loss, few_aux), few_grads = gradients(few)
  np.testing.assert_allclose(few_loss, loss, rtol=1e-6)
  assert few_aux.weight == aux.weight
  assert few_aux.scalars['accuracy'] == aux.scalars['accuracy']
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6),
    few_grads,
    grads,
  )
  assert cost.multiply_adds(
    few.loss, variables, data, jax.random.key(0)
  ) < cost.multiply_adds(task.loss, variables, data, jax.random.key(0))
  # What does not fit does not count, the last first.
  fewer = dataclasses.replace(task, max_masked=2)
  _, aux = jax.jit(fewer.loss)(variables, data, jax.random.key(0))
  assert aux.weight == sum(np.minimum(data['loss_mask'].sum(axis=1), 2))
  with pytest.raises(ValueError, match='max_masked: found 2 beside'):
    dataclasses.replace(fewer, unmasked_weight=0.1)


def test_unmasked_tokens_count_as_much_as_they_are_told(task_and_variables):
  task, variables = task_and_variables
  data = batch()
  losses = {}
  for share in (0.0, 0.25, 1.0):
    weighted = dataclasses.replace(task, unmasked_weight=share)
    loss, aux = jax.jit(weighted.loss)(variables, data, jax.random.key(0))
    losses[share] = float(loss * aux.weight), float(aux.weight)
  sums, weights = np.array([losses[share] for share in (0.0, 0.25, 1.0)]).T
  assert weights[2] == data['input_mask'].sum()  # Padding never counts.
  assert sums[2] > sums[0]
  np.testing.assert_allclose(
    sums[1], 0.75 * sums[0] + 0.25 * sums[2], rtol=1e-5
  )
  assert weights[1] == 0.75 * weights[0] + 0.25 * weights[2]


def test_loss_does_not_depend_on_targets_that_are_not_masked(
  task_and_variables,
):
  task, variables = task_and_variables
  data, other = batch(), batch()
  other['targets'] = np.where(other['loss_mask'] > 0, other['targets'], 7)
  loss = jax.jit(task.loss)
  a, b = (loss(variables, x, jax.random.key(0))[0] for x in (data, other))
  assert a == b
  other['targets'] = np.where(other['loss_mask'] > 0, 7, data['targets'])
  assert loss(variables, other, jax.random.key(0))[0] != a


def test_padding_changes_nothing(task_and_variables):
  task, variables = task_and_variables
  data, other = batch(), batch()
  other['ids'][1, 40:] = 99
  metrics = jax.jit(task.metrics)
  a, b = (metrics(variables, x) for x in (data, other))
  np.testing.assert_allclose(a['loss'].compute(), b['loss'].compute())
  short = {k: v[1:2, :40] if v.ndim > 1 else v[1:2] for k, v in data.items()}
  predict = jax.jit(task.predict)
  np.testing.assert_allclose(
    predict(variables, short)['logits'][0],
    predict(variables, data)['logits'][1, :40],
    atol=1e-4,
  )


def test_metrics_merge_by_tokens_and_skip_masked_examples(task_and_variables):
  task, variables = task_and_variables
  data = batch()
  measure = jax.jit(task.metrics)
  whole = measure(variables, data)
  parts = []
  for mask in ([1, 0, 0, 1], [0, 1, 1, 0]):
    parts.append(measure(variables, data | {'mask': np.float32(mask)}))
  for name, metric in whole.items():
    merged = parts[0][name].merge(parts[1][name])
    np.testing.assert_allclose(merged.compute(), metric.compute(), rtol=1e-5)
    assert metric.weight == data['loss_mask'].sum()
  assert parts[0]['loss'].compute() != pytest.approx(whole['loss'].compute())


@pytest.mark.full
def test_micro_batches_weigh_by_masked_tokens(task_and_variables):
  task, variables = task_and_variables

  def grad_fn(model_state, batch, rng):
    def loss_fn(params):
      return task.loss({'params': params, **model_state}, batch, rng)

    grad = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, aux), grads = grad(variables['params'])
    return grads, loss, aux

  def grads(num_microbatches):
    grad = accumulation.over_microbatches(grad_fn, num_microbatches)
    return jax.jit(grad)({}, batch(), jax.random.key(0))

  (a, loss_a, _), (b, loss_b, _) = grads(1), grads(2)
  np.testing.assert_allclose(loss_a, loss_b, rtol=1e-5)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3), a, b
  )


def test_sequences_longer_than_the_table_are_refused(task_and_variables):
  task, variables = task_and_variables
  with pytest.raises(ValueError, match='found 65 tokens, expected at most'):
    task.predict(variables, batch(length=65))


def naive_accuracies(train, examples):
  """Guesses by counting, one token at a time."""
  tokens, pairs = Counter(), Counter()
  for ids, masked in train:
    for i, is_masked in enumerate(masked):
      tokens[ids[i]] += is_masked
      if i:
        pairs[ids[i - 1], ids[i]] += is_masked
  pairs = Counter({p: n for p, n in pairs.items() if n})

  def most(counts):
    return max(sorted(counts), key=counts.get)

  unigram = most(tokens)
  hits = [0, 0]
  total = 0
  for targets, masked in examples:
    for i, is_masked in enumerate(masked):
      if not is_masked:
        continue
      guess = unigram
      if i and not masked[i - 1]:
        after = {b: n for (a, b), n in pairs.items() if a == targets[i - 1]}
        guess = most(after) if after else unigram
      hits[0] += targets[i] == unigram
      hits[1] += targets[i] == guess
      total += 1
  return hits[0] / total, hits[1] / total


def test_baselines_are_what_counting_finds():
  rng = np.random.default_rng(1)
  train = [
    (np.cumsum(rng.zipf(1.4, 200)) % 9, rng.random(200) < 0.4) for _ in range(5)
  ]
  # 9 follows nothing that was counted.
  tests = [
    (np.cumsum(rng.zipf(1.4, 100)) % 10, rng.random(100) < 0.4)
    for _ in range(4)
  ]
  baselines = masked_baselines.Baselines()
  for ids, masked in train:
    baselines.count(ids, masked)
  found = masked_baselines.accuracies(
    baselines,
    [{'targets': t, 'loss_mask': m.astype(np.float32)} for t, m in tests],
  )
  unigram, bigram = naive_accuracies(
    [(ids.tolist(), masked.tolist()) for ids, masked in train],
    [(t.tolist(), m.tolist()) for t, m in tests],
  )
  assert found == {'unigram_accuracy': unigram, 'bigram_accuracy': bigram}
  assert unigram != bigram


def test_the_baselines_of_a_run_see_its_evaluation_examples():
  config = masked_language_modelling.get_config('tiny')
  sections = evaluators.sections(config)
  section = sections['baselines']
  evaluator = masked_baselines.make_evaluator(
    section, task=None, mesh=None, folder=None
  )
  results = evaluator.run(None)
  unigram, bigram = results['unigram_accuracy'], results['bigram_accuracy']
  # Whole words are masked: only their first letters have a neighbour.
  assert 0.0 < unigram <= bigram < 1
  seen, measured = section.data, sections['validation'].data
  assert seen.split == measured.split
  assert seen.preprocess == measured.preprocess


@pytest.mark.parametrize(
  'variant, num_params',
  [
    ('base_bytes', 201108230),
    ('base_sentencepiece', 223155456),
    ('plus_plus', 425607430),
    ('bytes_128x1920', 430132230),
    ('bytes_512x896', 105849862),
  ],
)
def test_variants_have_the_published_sizes(variant, num_params):
  config = masked_language_modelling.get_config(variant)
  task = task_lib.make_task(config)
  length = config.data.preprocess.length
  ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
  shapes = jax.eval_shape(task.init, jax.random.key(0), {'ids': ids})
  assert cost.num_params(shapes['params']) == num_params
  assert length == config.model.max_length


def test_a_few_steps_fit_a_batch(task_and_variables):
  task, variables = task_and_variables
  data = batch()

  tx = optax.adam(3e-3)

  @jax.jit
  def step(params, opt_state):
    (loss, _), gradient = jax.value_and_grad(
      lambda p: task.loss({'params': p}, data, jax.random.key(0)),
      has_aux=True,
    )(params)
    updates, opt_state = tx.update(gradient, opt_state)
    return loss, optax.apply_updates(params, updates), opt_state

  params = variables['params']
  opt_state = tx.init(params)
  losses = []
  for _ in range(60):
    loss, params, opt_state = step(params, opt_state)
    losses.append(float(loss))
  assert losses[-1] < 0.7 * losses[0]


def test_half_precision_keeps_parameters_and_logits_in_float32():
  config = masked_language_modelling.get_config('tiny')
  config.model.dtype = 'bfloat16'
  task = task_lib.make_task(config)
  shapes = jax.eval_shape(task.init, jax.random.key(0), batch())
  assert {x.dtype for x in jax.tree.leaves(shapes)} == {np.dtype('float32')}
  logits = jax.eval_shape(task.predict, shapes, batch())['logits']
  assert logits.dtype == jnp.float32

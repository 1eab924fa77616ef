"""GLUE: sequences, the four ways of asking, losses and metrics."""

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from configs.perceiver_io import glue as config_lib
from data.language import glue, tokenizer
from perceiver_io.evaluators import glue as evaluator
from perceiver_io.tasks import sentence_classification
from train_lib import metrics
from train_lib import task as task_lib


def test_tasks_are_the_same_everywhere():
  assert list(glue.TASKS) == list(sentence_classification.TASKS)
  assert list(glue.TASKS) == list(config_lib.NUM_TRAIN)


def preprocess(texts, length=32, begin_with_cls=False):
  return glue.preprocess(
    dict(texts=texts, label=np.int64(1), task=2, mismatched=False),
    train=True,
    rng=None,
    length=length,
    begin_with_cls=begin_with_cls,
    tokenizer_model=None,
  )


def test_pairs_are_joined_and_padded():
  found = preprocess([b'a cat', 'one'], begin_with_cls=True)
  expected = [
    tokenizer.CLS,
    *tokenizer.encode('a cat'),
    tokenizer.SEP,
    *tokenizer.encode('one'),
  ]
  size = len(expected)
  assert found['ids'].tolist() == expected + [tokenizer.PAD] * (32 - size)
  assert found['input_mask'].tolist() == [1] * size + [0] * (32 - size)
  assert found['label'] == 1 and found['task'] == 2
  with pytest.raises(ValueError, match='UTF-8'):
    preprocess([b'\xff'])


@pytest.mark.parametrize(
  'sizes, kept',
  [((3, 4), (3, 4)), ((3, 40), (3, 7)), ((40, 3), (7, 3)), ((9, 9), (5, 5))],
)
def test_the_longer_text_is_cut(sizes, kept):
  texts = [np.arange(size) for size in sizes]
  found = glue.fit(texts, 10)
  for text, cut, size in zip(texts, found, kept, strict=True):
    np.testing.assert_array_equal(cut, text[:size])


def test_splits():
  assert glue.parts('mrpc/train[:9]') == [('mrpc', 'train[:9]')]
  parts = glue.parts('all/validation')
  assert len(parts) == 9 and ('mnli', 'validation_mismatched') in parts
  examples = list(glue.synthetic('all/validation'))
  assert len(examples) == 9 * 32
  assert sum(x['mismatched'] for x in examples) == 32
  tasks = [list(glue.TASKS)[x['task']] for x in examples]
  assert tasks.count('mnli') == 64 and tasks.count('cola') == 32
  assert all(
    len(x['texts']) == len(glue.TASKS[t])
    for x, t in zip(examples, tasks, strict=True)
  )
  for wrong in ('train', 'wnli/train'):
    with pytest.raises(ValueError, match='config.data.split'):
      glue.source(wrong, None)


def batch():
  rng = np.random.default_rng(0)
  size, length = 16, 24
  input_mask = np.ones((size, length), np.float32)
  input_mask[3, 10:] = 0
  return {
    'ids': rng.integers(6, 262, (size, length)).astype(np.int32),
    'input_mask': input_mask,
    'label': rng.integers(0, 2, size).astype(np.float32),
    'task': np.arange(size, dtype=np.int32) % 8,
    'mismatched': (np.arange(size) >= 8).astype(np.float32),
    'mask': np.ones(size, np.float32),
  }


@pytest.fixture(
  scope='module',
  params=['mrpc', 'shared_token', 'task_tokens', 'multitask_query'],
)
def made(request):
  config = config_lib.get_config(request.param)
  config.model = config_lib.get_config('tiny').model
  config.task.names = tuple(glue.TASKS)
  task = task_lib.make_task(config)
  variables = jax.jit(task.init)(jax.random.key(0), batch())
  return request.param, task, variables


def test_the_way_of_asking(made):
  variant, _, variables = made
  params = variables['params']
  num_queries = {'mrpc': 1, 'multitask_query': 8}.get(variant, 64)
  assert params['queries']['table'].shape[0] == num_queries
  assert ('task_tokens' in params) == (variant == 'task_tokens')


def test_gradients_reach_the_task_of_the_example_alone(made):
  variant, task, variables = made
  data = batch()
  data['task'] = np.full(16, 4, np.int32)

  def loss(params):
    return task.loss({'params': params}, data, jax.random.key(0))[0]

  grads = jax.jit(jax.grad(loss))(variables['params'])
  for name in glue.TASKS:
    used = any(np.any(g) for g in jax.tree.leaves(grads[f'head_{name}']))
    assert used == (name == 'qqp')
  queries = np.any(grads['queries']['table'], axis=1)
  asked = 4 if variant == 'multitask_query' else 0
  assert np.flatnonzero(queries).tolist() == [asked]
  if variant == 'task_tokens':
    tokens = np.any(grads['task_tokens'], axis=1)
    assert np.flatnonzero(tokens).tolist() == [4]


def test_padding_changes_nothing(made):
  _, task, variables = made
  data, other = batch(), batch()
  other['ids'][3, 10:] = 99
  np.testing.assert_array_equal(
    task.predict(variables, data)['logits'],
    task.predict(variables, other)['logits'],
  )


def test_loss_and_metrics(made):
  _, task, variables = made
  data = batch()
  loss, aux = task.loss(variables, data, jax.random.key(0))
  logits = np.asarray(task.predict(variables, data)['logits'], np.float64)
  names = np.array(list(glue.TASKS))[data['task']]
  total, expected = 0.0, {}
  for row, name, label in zip(logits, names, data['label'], strict=True):
    k = sentence_classification.TASKS[name][0]
    assert (row[k:] == -1e9).all()
    if name == 'stsb':
      total += (row[0] - label) ** 2
    else:
      total += np.log(np.exp(row[:k]).sum()) - row[int(label)]
      expected.setdefault(name, []).append(np.argmax(row[:k]) == label)
  np.testing.assert_allclose(loss, total / 16, rtol=1e-5)
  assert aux.weight == 16
  found = {k: m.compute() for k, m in task.metrics(variables, data).items()}
  np.testing.assert_allclose(found['loss'], loss, rtol=1e-5)
  assert found['qqp_accuracy'] == np.mean(expected['qqp'])
  assert [
    found['mnli_matched_accuracy'],
    found['mnli_mismatched_accuracy'],
  ] == expected['mnli']
  assert set(found) == {'loss', 'cola_matthews', 'stsb_pearson'} | {
    f'{n}_accuracy'
    for n in ('mnli_matched', 'mnli_mismatched', 'mrpc', 'qnli', 'qqp')
    + ('rte', 'sst2')
  }


def merged(of, x, y, mask):
  """As a run does it: batches on the device, merged in float64."""
  total = None
  for rows in np.split(np.arange(len(x)), [1, 8, 8, 40]):
    if not len(rows):
      rows = slice(0, 1)
    part = of(x[rows], y[rows], mask[rows] * (rows != slice(0, 1)))
    part = jax.tree.map(lambda v: np.asarray(v, np.float64), part)
    total = part if total is None else total.merge(part)
  return total.compute()


def test_matthews_is_sklearns():
  rng = np.random.default_rng(0)
  x, y = rng.random((2, 100)) < 0.3
  x[y] |= rng.random(y.sum()) < 0.5
  mask = np.ones(100, np.float32)
  mask[50:60] = 0
  kept = mask > 0
  expected = sklearn_metrics.matthews_corrcoef(y[kept], x[kept])
  found = merged(metrics.Matthews.of, x, y, mask)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  same = np.zeros(100, bool)
  assert merged(metrics.Matthews.of, same, y, mask) == 0


def test_pearson_is_scipys():
  rng = np.random.default_rng(0)
  x = (1000 + rng.standard_normal(100)).astype(np.float32)
  y = (0.5 * x + rng.standard_normal(100)).astype(np.float32)
  mask = np.ones(100, np.float32)
  mask[50:60] = 0
  y[50:60] = np.nan
  kept = mask > 0
  expected = stats.pearsonr(x[kept].astype('d'), y[kept].astype('d'))[0]
  found = merged(metrics.Pearson.of, x, y, mask)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_average_counts_mnli_once():
  results = dict(
    loss=9.0,
    cola_matthews=0.2,
    mnli_matched_accuracy=0.6,
    mnli_mismatched_accuracy=0.8,
    rte_accuracy=float('nan'),
  )
  assert evaluator.average(results) == pytest.approx((0.2 + 0.7) / 2)
  # Table 14, Perceiver IO on bytes.
  published = dict(
    cola_matthews=50.19,
    mnli_matched_accuracy=83.22,
    mnli_mismatched_accuracy=83.89,
    mrpc_accuracy=87.24,
    qnli_accuracy=91.71,
    qqp_accuracy=90.12,
    rte_accuracy=64.84,
    sst2_accuracy=93.17,
    stsb_pearson=86.81,
  )
  assert evaluator.average(published) == pytest.approx(80.95, abs=0.01)

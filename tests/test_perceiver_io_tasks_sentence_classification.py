"""GLUE: sequences, the four ways of asking, losses and metrics."""

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from configs.baselines import bert
from configs.baselines import glue as bert_config
from configs.perceiver_io import glue as config_lib
from configs.perceiver_io import masked_language_modelling as mlm
from data.language import glue, tokenizer
from perceiver_io.evaluators import glue as evaluator
from perceiver_io.tasks import sentence_classification
from tests.compiled_task import CompiledTask, variables_of
from train_lib import metrics, weights
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
  params=['mrpc', 'shared_token', 'task_tokens', 'multitask_query', 'bert'],
)
def made(request):
  if request.param == 'bert':
    config = bert_config.get_config('tiny')
  else:
    config = config_lib.get_config(request.param)
    config.model = config_lib.get_config('tiny').model
  config.task.names = tuple(glue.TASKS)
  task = CompiledTask(task_lib.make_task(config))
  variables = variables_of(task, batch())
  return request.param, task, variables


def test_the_way_of_asking(made):
  variant, _, variables = made
  params = variables['params']
  assert ('queries' in params) == (variant != 'bert')
  if variant == 'bert':
    return
  num_queries = {'mrpc': 1, 'multitask_query': 8}.get(variant, 64)
  assert params['queries']['table'].shape[0] == num_queries
  assert ('task_tokens' in params) == (variant == 'task_tokens')


@pytest.mark.full
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
  if variant == 'bert':
    return
  queries = np.any(grads['queries']['table'], axis=1)
  asked = 4 if variant == 'multitask_query' else 0
  assert np.flatnonzero(queries).tolist() == [asked]
  if variant == 'task_tokens':
    tokens = np.any(grads['task_tokens'], axis=1)
    assert np.flatnonzero(tokens).tolist() == [4]


@pytest.mark.parametrize(
  'pretraining, fine_tuning', [(mlm, config_lib), (bert, bert_config)]
)
def test_what_was_pretrained_is_found_again(pretraining, fine_tuning, tmp_path):
  """`init_from` loads all of the body, and neither heads nor what is asked."""
  run = pretraining.get_config('tiny')
  data = {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in batch().items()}
  shapes = jax.eval_shape(task_lib.make_task(run).init, jax.random.key(0), data)
  theirs = jax.tree.map(lambda x: jax.numpy.full(x.shape, 2.0), shapes)
  weights.save_variables(str(tmp_path / 'run'), theirs)
  config = fine_tuning.get_config('tiny')
  shapes = jax.eval_shape(
    task_lib.make_task(config).init, jax.random.key(0), data
  )
  ours = jax.tree.map(lambda x: jax.numpy.zeros(x.shape), shapes)
  loaded = weights.load_variables(
    str(tmp_path / 'run'), ours, config.init_from.exclude
  )['params']
  new = {f'head_{name}' for name in glue.TASKS} | {'task_tokens'}
  body = set(loaded) - new
  assert body < set(theirs['params'])
  for name, part in loaded.items():
    expected = 2.0 if name in body else 0.0
    assert all((x == expected).all() for x in jax.tree.leaves(part)), name


@pytest.mark.parametrize('module', [config_lib, bert_config])
def test_variants_of_a_model_differ_by_their_task(module):
  configs = {
    variant: module.get_config(variant)
    for variant in module.VARIANTS
    if variant.rpartition('_')[2] in config_lib.NUM_TRAIN
  }
  assert len(configs) == 8 * (3 if module is config_lib else 2)
  for variant, config in configs.items():
    model, _, name = variant.rpartition('_')
    assert config.task.names == (name,)
    assert config.data.split == f'{name}/train'
    assert config.evals.validation.data.split == f'{name}/validation'
    assert config.num_steps == 10 * (config_lib.NUM_TRAIN[name] // 32)
    pretrained = mlm.MODELS if module is config_lib else bert.MODELS
    sizes = pretrained[model or 'base_bytes']
    assert config.model.to_dict() == sizes | {'dtype': None}
    assert config.data.preprocess.length == sizes['max_length']
    assert config.data.preprocess.begin_with_cls == (module is bert_config)


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

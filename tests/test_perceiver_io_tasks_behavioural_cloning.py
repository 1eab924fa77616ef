"""Behavioural cloning on sets: symmetry, masks, losses by hand, costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from configs.baselines import entity_transformer as transformer_config
from configs.perceiver_io import starcraft as config_lib
from data.entities import entities
from tests.compiled_task import CompiledTask, variables_of
from train_lib import batch_layout, cost
from train_lib import task as task_lib

M, L = 7, 4


def make_task(make_encoder=config_lib.PERCEIVER):
  """A small policy of random parameters, none of them zero, and a batch."""
  config = config_lib.get_config('tiny')
  if make_encoder != config_lib.PERCEIVER:
    config = transformer_config.get_config('demo')
  config.model.update(
    vocab_sizes=(8, 8, 8), entity_channels=16, channels=16, num_locations=L
  )
  layers = (
    'num_layers' if 'num_layers' in config.model.encoder else 'num_self_attends'
  )
  config.model.encoder[layers] = 1
  task = CompiledTask(task_lib.make_task(config))
  examples = [
    e for e in entities.synthetic('test', 200) if len(e['selected']) <= M
  ][:5]
  batch = batch_layout.collate(
    [
      entities.preprocess(
        e, train=False, rng=None, max_entities=M, vocab_sizes=(8, 8, 8)
      )
      for e in examples
    ]
  )
  batch['target'] = np.array([2, -1, M, M + 3, 1], np.int32)
  batch['selected'] = np.zeros((5, M), np.float32)
  for row, units in enumerate([[0], [1], [], [0, 1], [1]]):
    batch['selected'][row, units] = 1
  batch['entity_mask'][:, :3] = 1
  variables = variables_of(task, batch)
  leaves, structure = jax.tree.flatten(variables)
  rng = np.random.default_rng(0)
  leaves = [x + 0.1 * rng.standard_normal(x.shape).astype('f') for x in leaves]
  return task, structure.unflatten(leaves), batch


@pytest.fixture(
  params=[config_lib.PERCEIVER, 'baselines.entity_transformer'],
  ids=['perceiver', 'transformer'],
  scope='module',
)
def made(request):
  return make_task(request.param)


ENTITY_KEYS = ('categories', 'numbers', 'entity_mask', 'selected')


def test_permuted_entities_permute_the_outputs(made):
  task, variables, batch = made
  order = np.random.default_rng(1).permutation(M)
  permuted = {**batch, **{k: batch[k][:, order] for k in ENTITY_KEYS}}
  plain, moved = (task.predict(variables, x) for x in (batch, permuted))
  assert np.ptp(plain['units'][:, :3], axis=1).min() > 0.1
  np.testing.assert_allclose(
    moved['units'], plain['units'][:, order], rtol=1e-5, atol=1e-5
  )
  both = np.concatenate([order, M + np.arange(L)])
  np.testing.assert_allclose(
    moved['targets'], plain['targets'][:, both], rtol=1e-5, atol=1e-5
  )


def test_masked_entities_have_no_influence(made):
  task, variables, batch = made
  absent = batch['entity_mask'] == 0
  assert absent.any()
  changed = dict(
    batch,
    categories=np.where(absent[..., None], 5, batch['categories']),
    numbers=np.where(absent[..., None], 9.0, batch['numbers']),
  )
  plain, other = (task.predict(variables, x) for x in (batch, changed))
  for name in plain:
    np.testing.assert_allclose(other[name], plain[name], atol=1e-5)
  assert np.all(plain['units'][absent] < -1e8)
  assert np.all(plain['targets'][:, :M][absent] < -1e8)
  # Nor do their features get a gradient; those of the others do.
  grads = jax.jit(
    jax.grad(lambda x: task.loss(variables, {**batch, 'numbers': x}, None)[0])
  )(jnp.asarray(batch['numbers']))
  assert not np.any(np.asarray(grads)[absent])
  assert np.all(np.any(np.asarray(grads)[0, :3], axis=-1))


def test_loss_and_metrics_are_those_by_hand():
  task, variables, batch = make_task()
  batch['mask'] = np.float32([1, 1, 1, 1, 0])
  names = ('categories', 'numbers', 'entity_mask', 'selected')
  apply = jax.jit(task.model.apply)
  units, targets = apply(variables, *(batch[k] for k in names))
  units, targets = (
    special.log_softmax(np.asarray(x, np.float64), axis=-1)
    for x in (units, targets)
  )
  unit_loss = [
    -units[0, 0],
    -units[1, 1],
    -(units[3, 0] + units[3, 1]) / 2,  # two selected units
  ]
  target_loss = [-targets[0, 2], -targets[2, M], -targets[3, M + 3]]
  loss, aux = task.loss(variables, batch, None)
  total = sum(unit_loss) + sum(target_loss)
  np.testing.assert_allclose(loss, total / 4, rtol=1e-5)
  assert aux.weight == 4

  found = {k: v.compute() for k, v in task.metrics(variables, batch).items()}
  np.testing.assert_allclose(found['unit_loss'], np.mean(unit_loss), rtol=1e-5)
  np.testing.assert_allclose(
    found['target_loss'], np.mean(target_loss), rtol=1e-5
  )
  best, goal = units.argmax(1), targets.argmax(1)
  unit = {0: best[0] == 0, 1: best[1] == 1, 3: best[3] in (0, 1)}
  target = {0: goal[0] == 2, 2: goal[2] == M, 3: goal[3] == M + 3}
  assert found['unit_accuracy'] == pytest.approx(np.mean(list(unit.values())))
  assert found['target_accuracy'] == pytest.approx(
    np.mean(list(target.values()))
  )
  both = [unit[i] and target[i] for i in (0, 3)]
  assert found['accuracy'] == pytest.approx(np.mean(both))


def test_targets_follow_the_selected_unit(made):
  """Without a selection the target is that of the most probable unit."""
  task, variables, batch = made
  names = ('categories', 'numbers', 'entity_mask')
  own = task.predict(variables, batch)
  best = np.asarray(own['units']).argmax(axis=1)
  selected = np.eye(M, dtype='f')[best]
  apply = jax.jit(task.model.apply)
  _, same = apply(variables, *(batch[k] for k in names), selected)
  np.testing.assert_allclose(own['targets'], same, atol=1e-5)
  other = np.eye(M, dtype='f')[(best + 1) % 3]
  _, changed = apply(variables, *(batch[k] for k in names), other)
  assert np.abs(same - changed)[:, M:].max(axis=1).min() > 1e-3


# Parameters and GFLOPs at 2 a multiply-add of the encoders alone. Published:
# 3.3 for the Transformer and 0.93 for Perceiver IO, whose width is not.
@pytest.mark.parametrize(
  'config, fold, num_params, gflops',
  [
    (transformer_config.get_config(), None, 2_369_280, 3.221),
    (config_lib.get_config(), False, 6_594_560, 0.979),
    (config_lib.get_config(), True, 6_594_560, 0.854),
    (transformer_config.get_config('chess'), None, 594_816, 0.0393),
    (config_lib.get_config('chess'), True, 501_504, 0.02684),
  ],
)
def test_costs(config, fold, num_params, gflops):
  if fold is not None:
    config.model.encoder.fold_projections = fold
  encoder = task_lib.make_task(config).model.encoder
  m, c = config.data.preprocess.max_entities, config.model.entity_channels
  args = (
    jax.ShapeDtypeStruct((1, m, c), 'float32'),
    jax.ShapeDtypeStruct((1, m), 'float32'),
  )
  variables = jax.eval_shape(encoder.init, jax.random.key(0), *args)
  assert cost.num_params(variables) == num_params
  found = 2e-9 * cost.multiply_adds(encoder.apply, variables, *args)
  assert found == pytest.approx(gflops, rel=1e-3)

"""Fine-tuning: rates by layer, frozen parts, linear probes, early ends."""

import importlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

import train
from configs import common
from configs.paca_vit import finetune, finetune_segmentation
from tests import linear_task
from train_lib import optim, run_files, setup, sharding, stacking, weights

PARAMS = {
  'inputs': {'embedding': jnp.ones((3, 2))},
  'encoder': {
    'latents': jnp.ones(2),
    'self_attend_0': {'kernel': jnp.ones((2, 2))},
    'self_attend_1': {'kernel': jnp.ones((2, 2))},
    'self_attend_10': {'kernel': jnp.ones((2, 2))},
  },
  'head': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)},
}


def make(**options):
  config = common.adamw(decay='constant', lr=0.1)
  with config.unlocked():
    config.weight_decay = 0.0
    config.update(options)
  return optim.make_optimizer(config, num_steps=10)[0]


def first_update(tx, params=PARAMS):
  grads = jax.tree.map(jnp.ones_like, params)
  return tx.update(grads, tx.init(params), params)


def test_rates_fall_from_the_last_layer_to_the_first():
  """Of five layers and a head; layer 10 comes after layer 1."""
  tx = make(layer_decay=0.5, layers=common.PERCEIVER_LAYERS)
  updates, _ = first_update(tx)
  found = {
    'inputs': updates['inputs']['embedding'],
    'latents': updates['encoder']['latents'],
    **{i: updates['encoder'][f'self_attend_{i}']['kernel'] for i in (0, 1, 10)},
    'head': updates['head']['kernel'],
  }
  for power, x in enumerate(reversed(found.values())):
    np.testing.assert_allclose(x, -0.1 * 0.5**power, rtol=1e-5)


def test_stacked_layers_have_the_rates_of_single_ones():
  names = [f'self_attend_{i}' for i in range(3)]
  single = {'encoder': {name: {'bias': jnp.ones(2)} for name in names}}
  stacked = {'encoder': {'stacked_self_attend': {'bias': jnp.ones((3, 2))}}}
  factors = [
    optim.layer_factors(params, common.PERCEIVER_LAYERS, 0.5)
    for params in (single, stacked)
  ]
  expected = [factors[0]['encoder'][name]['bias'] for name in names]
  found = factors[1]['encoder']['stacked_self_attend']['bias']
  assert expected == [0.125, 0.25, 0.5] and found.shape == (3, 1)
  np.testing.assert_allclose(found[:, 0], expected)


@pytest.mark.parametrize(
  'module',
  [
    'configs.paca_vit.finetune',
    'configs.paca_vit.finetune_segmentation',
    'configs.perceiver_io.finetune_images',
    'configs.perceiver_io.finetune_text',
    'configs.perceiver_io.arrays',
  ],
)
def test_the_layers_of_each_family_are_known(module):
  """All but the head are in a layer; a stage's norm comes after its blocks."""
  config = importlib.import_module(module).get_config('tiny')
  config.data.source, config.data.batch_size = 'synthetic', 8
  config, _ = run_files.derived(config)
  params = setup.make_setup(config).state.params
  factors = optim.layer_factors(params, config.optim.layers, 0.5)
  by_name = {
    sharding.path_name(path): x
    for path, x in jax.tree_util.tree_flatten_with_path(factors)[0]
  }
  whole = {name for name, x in by_name.items() if x == 1}
  assert whole and all('head' in x or 'outputs' in x for x in whole)
  if 'paca' in module:
    in_order = ['stem/norm', 'stage_1_block_0/norm1', 'transition_1/norm']
    in_order += ['stage_2_block_0/norm1', 'stage_2_norm']
    found = [by_name[f'backbone/{name}/bias'] for name in in_order]
    assert found == sorted(found) and len(set(found)) == 5


def test_what_is_frozen_stays_and_has_no_state():
  tx = make(frozen=('encoder/', 'inputs/'), ema_decay=0.9, clip_norm=0.1)
  updates, state = first_update(tx)
  for part in ('encoder', 'inputs'):
    assert not any(x.any() for x in jax.tree.leaves(updates[part]))
  # Only what is trained is clipped: six ones.
  assert all(x.all() for x in jax.tree.leaves(updates['head']))
  moments = optax.tree.get(state, 'mu')
  assert len(jax.tree.leaves(moments)) == 2
  ema = optax.tree.get(state, 'params_ema')
  assert jax.tree.structure(ema) == jax.tree.structure(PARAMS)


@pytest.mark.parametrize(
  'options, message',
  [
    (dict(frozen=('encodr',)), r"frozen: found \('encodr',\); expected what"),
    (dict(frozen=('.',)), 'frozen: found .* expected to leave something'),
    (dict(layer_decay=0.5), 'config.optim.layers: expected regular'),
  ],
)
def test_options_that_are_wrong(options, message):
  with pytest.raises(ValueError, match=message):
    first_update(make(**options))


def probed(config):
  """Names of what a linear probe trains."""
  config.data.source, config.data.batch_size = 'synthetic', 8
  config.derive.linear_probe = True
  config, _ = run_files.derived(config)
  run = setup.make_setup(config)
  labels = [
    sharding.path_name(path)
    for path, _ in jax.tree_util.tree_flatten_with_path(run.state.opt_state)[0]
  ]
  return {x.partition('/mu/')[2] for x in labels if '/mu/' in x}


def test_a_linear_probe_trains_the_new_head_alone():
  moments = probed(finetune.get_config('tiny'))
  assert moments == {'head/kernel', 'head/bias'}
  assert not any(stacking.is_stacked(x) for x in moments)


def test_a_linear_probe_of_a_segmenter_trains_what_is_new():
  """With as many clusters as the weights' it is the head alone."""
  config = finetune_segmentation.get_config('tiny')
  heads = {x.partition('/')[0] for x in probed(config)}
  assert heads == {'backbone', 'decode_head'}
  config = finetune_segmentation.get_config('tiny')
  config.init_from.exclude = ('head/',)
  assert {x.partition('/')[0] for x in probed(config)} == {'decode_head'}


def test_only_what_no_weights_replace_is_drawn(tmp_path):
  """What is new is as from scratch, bit by bit; where nothing is, none is."""
  run = setup.make_setup(linear_task.get_config())
  new = run.init().variables
  path = str(tmp_path / 'weights')
  weights.save_variables(path, jax.tree.map(lambda x: x + 1, new))
  chosen = ml_collections.ConfigDict(dict(path=path, exclude=('kernel',)))
  got = weights.init_from(run, chosen)
  drawn = jax.tree.map(lambda x, y: bool((x == y).all()), got, new)
  assert drawn == {
    'params': {'bias': False, 'kernel': True},
    'stats': {'steps': False},
  }
  chosen.exclude = ()
  got = weights.init_from(run._replace(init=None), chosen)
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y + 1), got, new)


@pytest.mark.full
def test_no_gradients_are_computed_of_what_is_frozen():
  """Fewer operations; what is trained gets the same update."""
  config = finetune.get_config('tiny')
  config.data.source, config.data.batch_size = 'synthetic', 8
  config.task.label_smoothing = 0.0
  config, _ = run_files.derived(config)
  config.unlock()
  config.optim.clip_norm, config.model.drop_path_rate = None, 0.0
  config.model.update(channels=(8,), depths=(1,), num_heads=(2,))
  config.model.num_clusters = (4,)
  found = {}
  for frozen in ((), (r'^backbone/',)):
    config.optim.frozen = frozen
    run = setup.make_setup(config)
    state, batch = run.init(), next(run.batches)
    old = jax.device_get(state.params)
    step = train.make_step(run, config).lower(state, batch).compile()
    cost = step.cost_analysis()
    new, scalars = step(state, batch)
    change = jax.tree.map(lambda a, b: a - b, jax.device_get(new.params), old)
    found[bool(frozen)] = cost['flops'], change, float(scalars['grad_norm'])
  assert found[True][0] < 0.6 * found[False][0]
  assert found[True][2] < found[False][2]
  assert not any(x.any() for x in jax.tree.leaves(found[True][1]['backbone']))
  np.testing.assert_allclose(
    found[True][1]['head']['kernel'],
    found[False][1]['head']['kernel'],
    rtol=1e-4,
    atol=1e-7,
  )


def test_a_run_ends_when_it_gets_no_better(tmp_path, capsys):
  """And there is nothing to do when it is started again."""
  config = linear_task.get_config()
  config.num_steps, config.optim.schedule.lr = 40, 1e-12
  config.evals.test.every_steps = 2
  config.checkpoint.best_metric = 'test/accuracy'
  config.checkpoint.patience = 3
  state = train.train_and_evaluate(config, str(tmp_path))
  assert int(state.step) == 8  # The best is the first, of step 2.
  assert 'Step 8: 3 evaluations were no better.' in capsys.readouterr().out
  state = train.train_and_evaluate(config, str(tmp_path))
  assert int(state.step) == 8
  config.checkpoint.patience = None
  config.num_steps = 10
  assert int(train.train_and_evaluate(config, str(tmp_path)).step) == 10

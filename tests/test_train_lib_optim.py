"""Optimizers and schedules against the reference code and float64 formulas."""

import pathlib
import zlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from configs import common
from train_lib import optim

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'perceiver_io'


@pytest.fixture(scope='module')
def golden():
  return dict(np.load(GOLDEN / 'train_units.npz'))


def schedule(num_steps, **options):
  return optim.make_schedule(common.adamw(**options).schedule, num_steps)


def test_cosine_by_epoch_equals_timm():
  steps_per_epoch, epochs, warmup = 10, 30, 5
  rate = schedule(
    epochs * steps_per_epoch,
    lr=1e-3,
    end_lr=1e-5,
    warmup_lr=1e-6,
    warmup_steps=warmup * steps_per_epoch,
    decay_starts_at_zero=True,
    update_every_steps=steps_per_epoch,
  )
  for step in range(epochs * steps_per_epoch):
    epoch = step // steps_per_epoch
    if epoch < warmup:
      expected = 1e-6 + epoch * (1e-3 - 1e-6) / warmup
    else:
      cosine = 1 + np.cos(np.pi * epoch / epochs)
      expected = 1e-5 + 0.5 * (1e-3 - 1e-5) * cosine
    np.testing.assert_allclose(rate(step), expected, rtol=1e-5)


def test_schedules_equal_perceiver_reference(golden):
  epoch = 1281167 / 1024
  total = 110 * epoch
  options = {
    'constant_cosine': dict(flat_steps=total / 2),
    'cosine_warmup5': dict(warmup_steps=5 * epoch),
    'steps_decay': dict(
      decay='step',
      boundaries=(0.5, 0.8, 0.95),
      factor=0.1,
    ),
  }
  for name, option in options.items():
    rate = schedule(total, lr=2e-3, **option)
    got = [rate(step) for step in golden['lr.steps']]
    np.testing.assert_allclose(got, golden[f'lr.{name}'], rtol=2e-4, atol=1e-9)


def test_polynomial_ends_at_end_lr():
  rate = schedule(
    100,
    decay='polynomial',
    power=1.0,
    lr=6e-5,
    warmup_steps=10,
    warmup_lr=6e-11,
  )
  np.testing.assert_allclose(rate(0), 6e-11, rtol=1e-5)
  np.testing.assert_allclose(rate(10), 6e-5, rtol=1e-5)
  np.testing.assert_allclose(rate(55), 3e-5, rtol=1e-5)
  np.testing.assert_allclose(rate(100), 0, atol=1e-12)


def normal(key, shape):
  rng = np.random.default_rng(zlib.crc32(key.encode()))
  return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def reference_params(golden):
  params = {}
  for key in golden:
    if key.startswith('lamb/step0/'):
      name, shape = key.removeprefix('lamb/step0/'), golden[key].shape
      g = normal(name, shape).astype(np.float32)
      last = name.split('/')[-1]
      if name.startswith('zero/'):
        value = np.zeros(shape, np.float32)
      elif last == 'w':
        value = g * np.float32(1 / np.sqrt(np.prod(shape[:-1])))
      elif last in ('b', 'offset'):
        value = g * np.float32(0.1)
      elif last == 'scale':
        value = 1 + g * np.float32(0.1)
      else:
        value = g * np.float32(0.02)
      params[name] = value.astype(np.float64)
  return params


@pytest.mark.parametrize(
  'case, grad_scale, exclude',
  [
    ('lamb', 1, ()),
    ('lamb_clip', 10, ()),
    ('lamb_nodecaypos', 1, ('pos_embs',)),
  ],
)
def test_lamb_equals_perceiver_reference(golden, case, grad_scale, exclude):
  config = common.adamw(decay='constant', lr=2e-3)
  with config.unlocked():
    config.name, config.eps, config.weight_decay = 'lamb', 1e-6, 0.1
    config.clip_norm = 10.0
    config.decay_exclude = ('/b$', 'layer_norm', 'batchnorm', *exclude)
  with jax.enable_x64(True):
    tx, _ = optim.make_optimizer(config, num_steps=10)
    params = jax.tree.map(jnp.asarray, reference_params(golden))
    state = tx.init(params)
    for i in range(3):
      grads = {
        name: jnp.asarray(normal(f'grad{i}/{name}', p.shape) * grad_scale)
        for name, p in params.items()
      }
      updates, state = tx.update(grads, state, params)
      params = optax.apply_updates(params, updates)
      for name, value in params.items():
        np.testing.assert_allclose(
          value, golden[f'{case}/step{i}/{name}'], atol=1e-9, err_msg=name
        )


def test_adamw_decays_weights_only():
  config = common.adamw(decay='constant', lr=0.1)
  tx, _ = optim.make_optimizer(config, num_steps=10)
  params = {'fc': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)}}
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  np.testing.assert_allclose(updates['fc']['kernel'], -0.1 * 0.05, rtol=1e-6)
  assert not updates['fc']['bias'].any()


def test_lr_multipliers_and_ema():
  config = common.adamw(decay='constant', lr=0.1)
  with config.unlocked():
    config.weight_decay = 0.0
    config.lr_multipliers = (('head', 10.0), ('.*kernel', 2.0))
    config.ema_decay = 0.9
  tx, _ = optim.make_optimizer(config, num_steps=10)
  params = {
    'head': {'kernel': jnp.zeros(3)},
    'fc': {'kernel': jnp.zeros(3), 'bias': jnp.zeros(3)},
  }
  ones = jax.tree.map(jnp.ones_like, params)
  updates, state = tx.update(ones, tx.init(params), params)
  np.testing.assert_allclose(updates['head']['kernel'], -1.0, rtol=1e-5)
  np.testing.assert_allclose(updates['fc']['kernel'], -0.2, rtol=1e-5)
  np.testing.assert_allclose(updates['fc']['bias'], -0.1, rtol=1e-5)
  ema = optax.tree.get(state, 'params_ema')
  np.testing.assert_allclose(ema['fc']['bias'], -0.01, rtol=1e-5)


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(name='sgd'), "config.optim.name: found 'sgd'"),
    (dict(schedule=dict(decay='linear')), "schedule.decay: found 'linear'"),
    (dict(schedule=dict(warmup_steps=10)), 'leave nothing of 10 steps'),
  ],
)
def test_bad_options_are_named(change, message):
  config = common.adamw()
  config.update(ml_collections.ConfigDict(change))
  with pytest.raises(ValueError, match=message):
    optim.make_optimizer(config, num_steps=10)

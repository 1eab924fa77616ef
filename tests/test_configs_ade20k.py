"""ADE20K's recipe, rule by rule, in the words of the authors' names."""

import flax
import jax
import numpy as np
import pytest

from configs.paca_vit import ade20k
from paca_vit import names, segmentation
from tests import golden_paca
from train_lib import optim

VARIANTS = (
  'small_p2cconv_100_0',
  'small_p2cmlp_100_0',
  'convmixer_tiny_100',
  'upernet_tiny_p2cconv_100_0',
)


def published_multipliers(name, is_upernet):
  """(of the decay, of the rate): the first key found in the name decides."""
  keys = {'norm': (0.0, 1.0)}
  if not is_upernet:
    keys = {'clustering.4': (1.0, 10.0), 'head': (1.0, 10.0)} | keys
  return next((v for key, v in keys.items() if key in name), (1.0, 1.0))


@pytest.mark.full
@pytest.mark.parametrize('variant', VARIANTS)
def test_decay_and_rates_of_every_parameter(variant):
  config = ade20k.get_config(variant)
  model = segmentation.make_segmenter(config.model)
  params = golden_paca.shapes_of(model)['params']
  # Each parameter is a number of its own that survives the renaming.
  flat = flax.traverse_util.flatten_dict(params, sep='/')
  numbered = {
    path: np.broadcast_to(np.int32(i), x.shape)
    for i, (path, x) in enumerate(flat.items())
  }
  theirs = names.to_state_dict(
    {'params': flax.traverse_util.unflatten_dict(numbered, sep='/')}
  )
  named = {int(x.flat[0]): name for name, x in theirs.items() if x.dtype == 'i'}
  assert len(named) == len(flat)

  # Without gradients the update is -rate * decay * parameter.
  ones = jax.tree.map(lambda x: np.float32(1), params)
  tx, schedule = optim.make_optimizer(config.optim, config.num_steps)
  zeros = jax.tree.map(np.zeros_like, ones)
  updates, _ = tx.update(zeros, tx.init(ones), ones)
  updates = flax.traverse_util.flatten_dict(updates, sep='/')
  for i, path in enumerate(flat):
    decay, rate = published_multipliers(named[i], variant.startswith('upernet'))
    want = -float(schedule(0)) * rate * decay * 0.01
    np.testing.assert_allclose(
      updates[path], want, rtol=1e-5, err_msg=f'{path} {named[i]}'
    )


def test_schedule_is_linear_up_and_linear_down():
  config = ade20k.get_config()
  _, schedule = optim.make_optimizer(config.optim, config.num_steps)
  # 1,500 steps of warm-up, the last of which has the whole rate.
  for step in (0, 1, 750, 1_499):
    want = 6e-5 * (1e-6 + (1 - 1e-6) * step / 1_499)
    np.testing.assert_allclose(schedule(step), want, rtol=1e-5)
  for step in (1_500, 80_750, 159_999):
    want = 6e-5 * (1 - (step - 1_500) / 158_499)  # theirs is 0 at the last
    np.testing.assert_allclose(schedule(step), want, atol=4e-10)


def test_drop_path_and_clusters_are_the_published_ones():
  rates = {
    variant: ade20k.get_config(variant).model.drop_path_rate
    for variant in (
      *('tiny_p2cconv_100_0', 'base_p2cconv_100_0', 'convmixer_base_100'),
      'upernet_base_p2cconv_100_0',
    )
  }
  assert list(rates.values()) == [0.1, 0.5, 0.5, 0.1]
  clusters = ade20k.get_config('small_p2cconv_100').model.num_clusters
  assert clusters == (200, 200, 200, 200)
  assert ade20k.get_config().model.num_clusters == (200, 200, 200, 0)

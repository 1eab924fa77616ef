"""Scanned blocks, and configs that do not fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import backbone, classifier, layers
from tests import golden_paca
from tests.test_paca_vit_backbone import (
  images,
  random_variables,
  shapes_of,
  small,
)
from train_lib import stacking


@pytest.mark.parametrize(
  'shape', [(16, 16, 3), (1, 16, 16, 1), (1, 0, 16, 3), (1, 3, 16, 16)]
)
def test_images_of_other_shapes_are_refused(shape):
  with pytest.raises(ValueError, match='images: expected'):
    shapes_of(small(), shape)


def test_heads_that_do_not_divide_the_channels_are_refused():
  model = backbone.PacaBackbone([backbone.Stage(8, 1, 3, None)])
  with pytest.raises(ValueError, match='num_heads: 8 channels'):
    shapes_of(model)


@pytest.mark.parametrize(
  'change, error, message',
  [
    (dict(depths=(2, 2)), ValueError, 'config.model.depths'),
    (dict(num_clusters=(9,)), ValueError, 'config.model.num_clusters'),
    (dict(clustering=dict(kind='Conv')), ValueError, "'Conv'"),
    (dict(clustering=dict(kind='layers')), ValueError, "'layers'"),
    (dict(block=dict(mlp_rate=4)), TypeError, 'mlp_rate'),
  ],
)
def test_configs_that_do_not_fit_are_refused(change, error, message):
  config = models.model('tiny_p2cconv_100_0')
  with config.unlocked():
    for field, value in change.items():
      config[field] = value
  with pytest.raises(error, match=message):
    shapes_of(classifier.make_classifier(config))


def test_unknown_variant_is_refused():
  with pytest.raises(ValueError, match="'tiny'"):
    models.model('tiny')


@pytest.mark.full
@pytest.mark.parametrize(
  'options', [{}, dict(norm_before=False, norm_after=True, layer_scale=0.5)]
)
def test_scanned_blocks_are_the_unrolled_ones(options):
  """From the same variables the same maps, clusters and gradients."""
  block = functools.partial(backbone.Block, **options)
  unrolled = small(depth=3, block=block)
  scanned = unrolled.copy(scan_layers=True)
  x = images(2, 18, 16, 3)
  stacked = random_variables(scanned)
  single = stacking.unstacked(stacked)
  jax.tree.map(
    lambda x, y: np.testing.assert_equal(x.shape, y.shape),
    single,
    shapes_of(unrolled),
  )

  def value_and_gradient(model, variables):
    def loss(variables, x):
      features = model.apply(variables, x, True)
      return sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(features))

    return golden_paca.jit(jax.value_and_grad(loss, (0, 1)))(variables, x)

  theirs = value_and_gradient(unrolled, single)
  value, (gradient, of_x) = value_and_gradient(scanned, stacked)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    theirs,
    (value, (stacking.unstacked(gradient), of_x)),
  )


def test_scanned_blocks_drop_their_own_paths():
  """With the rate of each; in a loop they are arrays."""
  x = jnp.ones((4096, 2))
  rngs = {'drop_path': jax.random.key(0)}
  for rate in (0.0, 0.25):
    dropped = layers.DropPath(jnp.float32(rate)).apply({}, x, True, rngs=rngs)
    expected = layers.DropPath(rate).apply({}, x, True, rngs=rngs)
    np.testing.assert_allclose(dropped, expected, rtol=1e-6)
    assert abs(float(jnp.mean(dropped == 0)) - rate) < 0.03

  model = small(depth=3, drop_path_rate=0.9, scan_layers=True)
  x = images(2, 16, 16, 3)
  variables = random_variables(model)

  @golden_paca.jit
  def train(rng):
    return model.apply(variables, x, True, rngs={'drop_path': rng}).maps[0]

  one, again, other = (train(jax.random.key(seed)) for seed in (0, 0, 1))
  np.testing.assert_array_equal(one, again)
  assert np.abs(one - other).max() > 1e-2


def test_blocks_that_differ_cannot_be_scanned():
  for options in (dict(blocks_per_assignment=1), dict(position_grid=(4, 4))):
    with pytest.raises(ValueError, match='scan_layers: expected position_grid'):
      shapes_of(small(**options, scan_layers=True))

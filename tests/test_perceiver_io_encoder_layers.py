"""Blocks of the encoder: whose weights they have, how they are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.test_perceiver_io_perceiver import (
  apply,
  init,
  make_encoder,
  num_params,
  random,
)
from train_lib import stacking


def test_blocks_share_weights_or_not():
  x = random(2, 7, 6)
  once = init(make_encoder(num_blocks=1), x)
  layer = num_params({'params': once['params']['self_attend_0']})
  cross = num_params({'params': once['params']['cross_attend_0']})
  base = num_params(once)

  def extra(**options):
    return num_params(init(make_encoder(num_blocks=3, **options), x)) - base

  assert extra() == 0
  assert extra(num_cross_attends=3) == cross  # the first one is its own
  assert extra(share_weights=False) == 4 * layer
  assert extra(share_weights=False, num_cross_attends=3) == (
    4 * layer + 2 * cross
  )


@pytest.mark.full
def test_unshared_blocks_with_equal_weights_are_shared_blocks():
  x = random(2, 7, 6)
  options = dict(num_blocks=3, num_cross_attends=3)
  shared = init(make_encoder(**options), x)
  params = dict(shared['params'])
  params['cross_attend_2'] = params['cross_attend_1']
  for i in range(2, 6):
    params[f'self_attend_{i}'] = params[f'self_attend_{i % 2}']
  np.testing.assert_allclose(
    apply(make_encoder(**options), shared, x),
    apply(make_encoder(**options, share_weights=False), {'params': params}, x),
    atol=1e-5,
  )


@pytest.mark.parametrize(
  'share_weights, scan_layers', [(True, True), (False, False)]
)
def test_cross_attends_at_the_start_are_one_after_the_other(
  share_weights, scan_layers
):
  """Three, then all blocks: as the parts that are applied by hand."""
  x = random(1, 7, 6)
  options = dict(num_blocks=2, share_weights=share_weights)
  encoder = make_encoder(
    **options,
    num_cross_attends=3,
    cross_attends_first=True,
    scan_layers=scan_layers,
  )
  params = init(encoder, x)['params']
  found = apply(encoder, {'params': params}, x)
  names = sorted(name for name in params if name.startswith('cross_attend'))
  assert len(names) == (2 if share_weights else 3)
  latents = jnp.broadcast_to(params['latents'], (1, *params['latents'].shape))
  for i in range(2):
    latents = encoder.cross_attend.apply(
      {'params': params[names[min(i, len(names) - 1)]]}, latents, x
    )
  # The third is what an encoder of one cross-attend begins with.
  rest = {k: v for k, v in params.items() if k not in names}
  rest |= {'cross_attend_0': params[names[-1]], 'latents': latents[0]}
  last = make_encoder(**options, scan_layers=scan_layers)
  expected = apply(last, {'params': rest}, x)
  np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
  'options',
  [
    dict(num_blocks=3, num_cross_attends=2),
    pytest.param(
      dict(num_blocks=2, share_weights=False, remat_policy='nothing_saveable'),
      marks=pytest.mark.full,
    ),
  ],
)
def test_scanned_layers_are_the_unrolled_ones(options):
  """From the same variables the same output and gradients; fewer operations."""
  x = random(2, 7, 6)
  scanned = make_encoder(**options, scan_layers=True)
  unrolled = scanned.copy(scan_layers=False, remat_policy='everything_saveable')
  variables = init(scanned, x)

  def lower(encoder, variables):
    def loss(variables, x):
      return jnp.sum(jnp.sin(encoder.apply(variables, x)))

    return jax.jit(jax.value_and_grad(loss, (0, 1))).lower(variables, x)

  layers = stacking.unstacked(variables)
  steps = lower(unrolled, layers), lower(scanned, variables)
  products = [step.as_text().count('dot_general') for step in steps]
  assert products[1] < products[0]
  options = {'xla_backend_optimization_level': 0}
  theirs = steps[0].compile(options)(layers, x)
  loss, (gradient, x_gradient) = steps[1].compile(options)(variables, x)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    theirs,
    (loss, (stacking.unstacked(gradient), x_gradient)),
  )


@pytest.mark.full
def test_scanned_layers_begin_as_unrolled_ones_do():
  """Each from values of its own, of the same spread."""
  x = random(2, 7, 6)
  encoder = make_encoder(latent_channels=64, scan_layers=True)
  layers = stacking.unstacked(encoder.init(jax.random.key(0), x))['params']
  ours = layers['self_attend_0'], layers['self_attend_1']
  encoder = encoder.copy(scan_layers=False)
  theirs = encoder.init(jax.random.key(0), x)['params']['self_attend_0']
  kernels = [p['mlp']['hidden']['kernel'] for p in (*ours, theirs)]
  spreads = [np.std(kernel) for kernel in kernels]
  np.testing.assert_allclose(spreads, spreads[-1], rtol=0.1)
  assert np.abs(kernels[0] - kernels[1]).max() > spreads[0]


def test_layers_are_computed_again_where_the_policy_says_so():
  x = random(2, 7, 6)

  def num_products(**options):
    encoder = make_encoder(**options)
    variables = jax.eval_shape(encoder.init, jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda v: encoder.apply(v, x).sum()))
    return gradient.lower(variables).as_text().count('dot_general')

  again = dict(remat_policy='nothing_saveable')
  assert num_products(**again) > num_products()
  assert num_products(**again, scan_layers=True) > num_products(
    scan_layers=True
  )
  with pytest.raises(ValueError, match="remat_policy: found 'some'"):
    num_products(remat_policy='some')

"""Inputs: positions, patches, convolution against DeepMind's, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_io import convolution, inputs, patches, position_encoding
from tests import perceiver_parts
from tests.perceiver_units import array, check, linears, load, weights


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


@pytest.mark.parametrize(
  'unit, options',
  [
    ('fourier_default', {}),
    ('fourier_sine_only', {'sine_only': True}),
    ('fourier_no_concat', {'concat_pos': False}),
    ('fourier_maxres', {'max_resolution': (10, 6)}),
  ],
)
def test_fourier(unit, options):
  module = position_encoding.FourierPositions(4, **options)
  check(unit, module.apply({}, (3, 4), dtype=jnp.float64)[None])
  # Every point of the grid is the grid.
  points = module.apply({}, (3, 4), jnp.arange(12), dtype=jnp.float64)
  check(unit, points[None])


def test_positions():
  check('linear_positions_1d', perceiver_parts.linear_positions((5,)))
  check('linear_positions_2d', perceiver_parts.linear_positions((2, 3)))
  given = np.asarray(array('fourier_given_pos', 'in.pos'))
  check(
    'fourier_given_pos', position_encoding.fourier_features(given, 4, (3, 4))
  )
  module = position_encoding.ProjectedPositions(
    position_encoding.FourierPositions(4), 6
  )
  tree = linears(
    'fourier_projected', {'position_encoding_projector/linear': 'linear'}
  )
  out = module.apply({'params': tree}, (3, 4), dtype=jnp.float64)
  check('fourier_projected', out[None])


def test_patches():
  s2d, d2s = patches.space_to_depth, patches.depth_to_space
  check('s2d_image', s2d(array('s2d_image', 'in.x'), 2))
  check('s2d_video', s2d(array('s2d_video', 'in.x'), 2, 2))
  check('rs2d_image', d2s(array('rs2d_image', 'in.x'), 2))
  check('rs2d_video', d2s(array('rs2d_video', 'in.x'), 2, 2))
  for padding in 'valid', 'same':
    unit = f'extract_patches_{padding}'
    out = patches.extract_patches(
      array(unit, 'in.x'), (2, 3), (1, 2), (2, 1), padding.upper()
    )
    check(unit, out)
  x = array('patches_for_flow', 'in.x')
  check('patches_for_flow', patches.neighbourhoods(x))


@pytest.mark.parametrize(
  'unit, options',
  [
    ('conv2d_downsample_even', {}),
    ('conv2d_downsample_odd', {}),
    ('conv2d_downsample_2layers', {'num_layers': 2}),
    ('conv2d_downsample_nobn', {'batch_norm': False}),
  ],
)
def test_conv_downsample(unit, options):
  module = convolution.ConvDownsample(4, **options)
  x = array(unit, 'in.x')
  variables = load(
    module, unit, x, to='image_preprocessor/~/', at='inputs/features'
  )
  check(unit, module.apply(variables, x))


def test_batch_norm_in_training():
  unit = 'conv2d_downsample_train'
  module = convolution.ConvDownsample(4)
  x = array(unit, 'in.x')
  variables = load(
    module, unit, x, to='image_preprocessor/~/', at='inputs/features'
  )
  out, state = module.apply(variables, x, train=True, mutable='batch_stats')
  check(unit, out)
  found = state['batch_stats']['batch_norm_0']
  theirs = 'state.conv2_d_downsample/~/batchnorm/~'
  for name in 'mean', 'var':
    for ours, kind in (name, 'average'), (f'{name}_hidden', 'hidden'):
      expected = array(unit, f'{theirs}/{name}_ema/{kind}')
      np.testing.assert_allclose(found[ours], expected[0, 0, 0], atol=1e-12)
  assert found['counter'] == 1


@pytest.mark.parametrize(
  'unit, module, names',
  [
    (
      'conv2d_upsample',
      perceiver_parts.ConvUpsample(3),
      ('transp_conv_1', 'transp_conv_2'),
    ),
    (
      'post_conv2d',
      perceiver_parts.UpsampledImage((2, 3), perceiver_parts.ConvUpsample(2)),
      ('transp_conv_1', 'transp_conv_2'),
    ),
    (
      'conv3d_upsample',
      perceiver_parts.ConvUpsample(2, temporal_layers=1),
      ('conv3d_transpose_0', 'conv3d_transpose_1'),
    ),
    (
      'post_conv3d',
      perceiver_parts.UpsampledImage(
        (2, 2, 2), perceiver_parts.ConvUpsample(2, temporal_layers=1)
      ),
      ('conv3d_transpose_0', 'conv3d_transpose_1'),
    ),
  ],
)
def test_conv_upsample(unit, module, names):
  tree = {}
  for name, x in weights(unit).items():
    layer, leaf = name.split('/')[-2:]
    place = tree.setdefault(f'conv_{names.index(layer)}', {})
    if leaf == 'w':  # [..., out, in], not flipped
      place['kernel'] = jnp.swapaxes(x, -1, -2)
    else:
      place['bias'] = x
  x = array(unit, 'in.x')
  if unit.startswith('post'):
    tree = {'upsample': tree}
    x = x.reshape(x.shape[0], -1, x.shape[-1])
  check(unit, module.apply({'params': tree}, x))


IMAGE = 'image_preprocessor'


@pytest.mark.parametrize(
  'unit, features, add, layers',
  [
    ('image_pixels_ds2', inputs.Pixels(2), False, {}),
    ('image_pixels_video', inputs.Pixels(2, 2), False, {}),
    (
      'image_conv1x1_stride2',
      inputs.Pixels(2, channels=5),
      False,
      {f'{IMAGE}/~/conv2_d': 'linear'},
    ),
    (
      'image_patches_linear',
      inputs.Patches(2, channels=5),
      False,
      {f'{IMAGE}/patches_linear': 'linear'},
    ),
    (
      'image_add_pos',
      inputs.Pixels(channels=10),
      True,
      {f'{IMAGE}/~/conv2_d': 'linear'},
    ),
  ],
)
def test_image_inputs(unit, features, add, layers):
  positions = position_encoding.FourierPositions(2)
  module = inputs.GridInputs(features, positions, add)
  tree = {'features': linears(unit, layers)}
  check(unit, module.apply({'params': tree}, array(unit, 'in.x')))


@pytest.mark.parametrize(
  'unit, features, num_layers, theirs',
  [
    ('image_extra_pos_mlp', inputs.Pixels(), 2, IMAGE),
    ('audio_patches', inputs.AudioPatches(4), 1, 'audio_preprocessor'),
  ],
)
def test_refined_positions(unit, features, num_layers, theirs):
  fourier = {'image_extra_pos_mlp': (2,), 'audio_patches': (3, (12,))}[unit]
  module = inputs.GridInputs(
    features,
    perceiver_parts.RefinedPositions(
      position_encoding.FourierPositions(*fourier), num_layers
    ),
  )
  names = {
    f'{theirs}/~_build_network_inputs/linear' + f'_{i}' * (i > 0): f'linear_{i}'
    for i in range(num_layers)
  }
  tree = {'positions': linears(unit, names)}
  check(unit, module.apply({'params': tree}, array(unit, 'in.x')))

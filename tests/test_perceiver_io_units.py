"""Single modules against DeepMind's outputs, in float64."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from data.language import tokenizer
from perceiver_io import (
  convolution,
  inputs,
  names,
  outputs,
  patches,
  position_encoding,
  queries,
)
from perceiver_io.attention import (
  CrossAttention,
  LayerNorm,
  Mlp,
  SelfAttention,
)
from perceiver_io.perceiver import Encoder
from perceiver_paca.ops import attention as attention_ops
from tests import perceiver_goldens as goldens
from tests import perceiver_parts

UNITS = json.loads((goldens.FOLDER / 'units.json').read_text())
ARRAYS = dict(np.load(goldens.FOLDER / 'units.npz'))


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def array(unit, name):
  x = ARRAYS[f'{unit}/{name}']
  return jnp.asarray(x, jnp.float64 if x.dtype.kind == 'f' else x.dtype)


def check(unit, found, name='out'):
  expected = array(unit, name)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)


def weights(unit, prefix='', to=''):
  """A unit's weights, their names' prefix replaced."""
  described = UNITS[unit]['params'] + UNITS[unit]['state']
  return {
    to + name.removeprefix(prefix): jnp.asarray(x, jnp.float64)
    for name, x in goldens.weights(described).items()
  }


def load(module, unit, *args, prefix='', to='', at='', **kwargs):
  """The variables of a module whose names in a whole model begin with `at`."""
  expected = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *args, **kwargs)
  )
  path = at.split('/') if at else []
  nested = {
    kind: functools.reduce(lambda x, p: {p: x}, reversed(path), tree)
    for kind, tree in expected.items()
  }
  filled = names.from_haiku(weights(unit, prefix, to), None, nested)
  return {
    kind: functools.reduce(lambda x, p: x[p], path, tree)
    for kind, tree in filled.items()
  }


def linears(unit, names):
  """{'params': {ours: {kernel, bias}}} from Haiku linear layers."""
  w = weights(unit)
  tree = {}
  for theirs, ours in names.items():
    kernel = w[f'{theirs}/w']
    kernel = kernel[0, 0] if kernel.ndim == 4 else kernel
    tree[ours] = {'kernel': kernel, 'bias': w[f'{theirs}/b']}
  return tree


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


@pytest.mark.parametrize('implementation', ['plain', 'chunked'])
def test_attend(implementation):
  for unit in 'attend', 'attend_mask':
    q, k, v = (array(unit, f'in.{name}') for name in 'qkv')
    mask = array(unit, 'in.m').astype(bool) if 'mask' in unit else None
    out = attention_ops.attention(
      q, k, v, mask=mask, implementation=implementation
    )
    check(unit, out.reshape(*out.shape[:2], -1))


@pytest.mark.parametrize('fold', [False, True])
@pytest.mark.parametrize(
  'unit, options',
  [
    ('cross_attention_kv', dict(num_heads=2)),
    (
      'cross_attention_q_nores',
      dict(
        num_heads=2,
        qk_channels=8,
        use_query_residual=False,
        widening_factor=4,
      ),
    ),
    ('cross_attention_qkv', dict(num_heads=2, qk_channels=4, v_channels=10)),
  ],
)
def test_cross_attention(unit, options, fold):
  module = CrossAttention(fold_projections=fold, **options)
  a, b = array(unit, 'in.a'), array(unit, 'in.b')
  mask = array(unit, 'in.m') if f'{unit}/in.m' in ARRAYS else None
  variables = load(
    module, unit, a, b, to='basic_decoder/', at='decoder', mask=mask
  )
  check(unit, module.apply(variables, a, b, mask=mask))


def test_self_attention():
  unit = 'self_attention'
  module = SelfAttention(2, qk_channels=4, v_channels=8, widening_factor=4)
  x = array(unit, 'in.x')
  variables = load(module, unit, x, to='encoder/~/', at='encoder/self_attend_0')
  check(unit, module.apply(variables, x, mask=array(unit, 'in.m')))


def test_mlp_and_layer_norm():
  tree = linears('mlp', {'mlp/linear': 'hidden', 'mlp/linear_1': 'output'})
  check('mlp', Mlp(3).apply({'params': tree}, array('mlp', 'in.x')))
  w = weights('layer_norm')
  tree = {'scale': w['ln/scale'], 'bias': w['ln/offset']}
  x = array('layer_norm', 'in.x')
  check('layer_norm', LayerNorm().apply({'params': tree}, x))


@pytest.mark.parametrize(
  'unit, options',
  [
    ('encoder_mask', {}),
    (
      'encoder_nores',
      dict(qk_channels=8, use_query_residual=False, widening_factor=2),
    ),
  ],
)
def test_encoder(unit, options):
  module = Encoder(
    num_latents=4,
    latent_channels=8,
    cross_attend=CrossAttention(1, **options),
    self_attend=SelfAttention(
      2, widening_factor=options.get('widening_factor', 1)
    ),
    num_self_attends_per_block=1,
    num_blocks=3,
  )
  x = array(unit, 'in.x')
  mask = array(unit, 'in.m') if f'{unit}/in.m' in ARRAYS else None
  variables = load(module, unit, x, mask, at='encoder')
  check(unit, module.apply(variables, x, mask))


class Decode(nn.Module):
  """Queries, cross-attend and the output projection, as one module."""

  queries: nn.Module
  decoder: CrossAttention
  outputs: nn.Module

  def __call__(self, latents, points=None, features=None, query_mask=None):
    chosen = [] if points is None else [points]
    asked = self.queries(latents, *chosen)
    if features is not None:
      asked = jnp.concatenate([features, asked], axis=-1)
    found = self.decoder(asked, latents, query_mask=query_mask)
    return asked, self.outputs(found)


@pytest.mark.parametrize(
  'unit, asked, options',
  [
    ('trainable', queries.LearnedQueries(3, 6), {}),
    (
      'fourier_proj',
      queries.PositionQueries(
        (2, 3),
        position_encoding.ProjectedPositions(
          position_encoding.FourierPositions(2), 6
        ),
      ),
      dict(num_heads=2, use_query_residual=True),
    ),
    (
      'subsampled',
      queries.PositionQueries(
        (2, 3),
        position_encoding.FourierPositions(2, half_open_points=True),
      ),
      {},
    ),
    ('concat_input', queries.LearnedQueries(3, 6), {}),
    ('query_mask', queries.LearnedQueries(3, 6), {}),
  ],
)
def test_decoder(unit, asked, options):
  unit = f'basic_decoder_{unit}'
  cross_attend = CrossAttention(
    **{'num_heads': 1, 'use_query_residual': False, **options}
  )
  module = Decode(asked, cross_attend, outputs.Projection(5))
  latents = array(unit, 'in.z')
  optional = {
    name: array(unit, f'in.{theirs}')
    for name, theirs in (
      ('points', 'pts'),
      ('features', 'xin'),
      ('query_mask', 'm'),
    )
    if f'{unit}/in.{theirs}' in ARRAYS
  }
  variables = load(module, unit, latents, **optional)
  found = module.apply(variables, latents, **optional)
  if f'{unit}/out' in ARRAYS:
    check(unit, found[1])
  else:
    check(unit, found[0], 'out.0')
    check(unit, found[1], 'out.1')


def test_other_outputs():
  unit = 'projection_decoder'
  tree = linears(unit, {'projection_decoder/~/logits': 'linear'})
  module = outputs.MeanLogits(5)
  check(unit, module.apply({'params': tree}, array(unit, 'in.z')))

  unit = 'post_patches'
  x = array(unit, 'in.x')
  module = perceiver_parts.PatchImage((2, 3), 2)
  check(unit, module.apply({}, x.reshape(2, 6, 12)))

  unit = 'embedding_decoder'
  w = weights(unit)
  out = outputs.TokenLogits().apply(
    {'params': {'bias': w['embedding_decoder/bias']}},
    array(unit, 'in.x'),
    w['embed/embeddings'],
  )
  check(unit, out)


def test_tokenizer():
  unit = UNITS['tokenizer']
  ids = tokenizer.encode(unit['text'])
  np.testing.assert_array_equal(ids, unit['ids'])
  assert tokenizer.decode(ids) == unit['text'] == unit['roundtrip']
  assert tokenizer.VOCAB_SIZE == unit['vocab_size']
  for name, i in unit['specials'].items():
    assert getattr(tokenizer, name.upper()) == i
  he = tokenizer.encode('He')
  specials = [tokenizer.CLS, *he, tokenizer.SEP, tokenizer.PAD]
  assert tokenizer.decode(specials) == unit['skips_specials']
  broken = np.array([0xFF, ord('A')]) + 6
  assert tokenizer.decode(broken) == unit['invalid_utf8']
  with pytest.raises(ValueError, match='expected UTF-8'):
    tokenizer.encode(b'\xff')
  with pytest.raises(ValueError, match='expected 0 to 261'):
    tokenizer.decode([262])

"""Attention, encoder, decoder and outputs against DeepMind's, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from data.language import tokenizer
from perceiver_io import outputs, position_encoding, queries
from perceiver_io.attention import (
  CrossAttention,
  LayerNorm,
  Mlp,
  SelfAttention,
)
from perceiver_io.perceiver import Encoder
from perceiver_paca.ops import attention as attention_ops
from tests import perceiver_parts
from tests.perceiver_units import (
  ARRAYS,
  UNITS,
  array,
  check,
  linears,
  load,
  weights,
)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


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

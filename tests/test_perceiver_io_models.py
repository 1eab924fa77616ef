"""Whole models against DeepMind's outputs on small configurations."""

import jax
import numpy as np
import perceiver_goldens as goldens
import pytest

from perceiver_io import models

NAMES = 'mlm', 'imagenet_learned', 'imagenet_fourier', 'flow'


def make_model(name, **options):
  """The model of a golden configuration."""
  config = goldens.load(name)[1]['config']
  sizes = config['encoder']
  if name == 'mlm':
    return models.mlm(
      vocab_size=config['vocab_size'],
      max_length=config['max_seq_len'],
      token_channels=config['d_model'],
      num_latents=sizes['z_index_dim'],
      latent_channels=sizes['num_z_channels'],
      qk_channels=sizes['qk_channels'],
      num_heads=sizes['num_self_attend_heads'],
      num_self_attends=sizes['num_self_attends_per_block'],
      **options,
    )
  encoder = models.encoder(
    num_latents=sizes['z_index_dim'],
    latent_channels=sizes['num_z_channels'],
    num_self_attends_per_block=sizes['num_self_attends_per_block'],
    num_blocks=sizes['num_blocks'],
    num_self_attend_heads=sizes['num_self_attend_heads'],
    **options,
  )
  if name == 'flow':
    return models.optical_flow(
      image_size=(6, 8), encoder=encoder, channels=10, num_bands=5
    )
  return models.imagenet(
    inputs={
      'imagenet_learned': models.learned_pixels((6, 8), 13, 12, 14),
      'imagenet_fourier': models.fourier_pixels((6, 8), 5),
    }[name],
    encoder=encoder,
    num_classes=config['num_classes'],
    query_channels=32,
    use_query_residual=config['decoder']['use_query_residual'],
  )


# Folding projections into the small side and holding no logits are other orders
# of summation, no other formula: float64 shows it.
@pytest.mark.parametrize(
  'name, dtype, options',
  [(name, dtype, {}) for name in NAMES for dtype in ('float32', 'float64')]
  + [
    ('flow', 'float64', {'fold_projections': False}),
    ('imagenet_fourier', 'float64', {'implementation': 'chunked'}),
  ],
)
def test_outputs_equal_the_published_code(name, dtype, options):
  atol = {'float32': 2e-5, 'float64': 1e-10}[dtype]
  arrays, described = goldens.load(name)
  x = arrays['in.inputs' if name == 'mlm' else 'in.images']
  model = make_model(name, **options)
  variables = goldens.variables(model, described, x)
  calls = {'out': {}}
  if name == 'mlm':
    mask = arrays['in.input_mask']
    calls = {
      'out': {'input_mask': mask, 'query_mask': mask},
      'out_no_mask': {},
    }
  with jax.enable_x64(dtype == 'float64'):
    variables, x = goldens.as_dtype((variables, x), dtype)
    for key, masks in calls.items():
      out = jax.jit(model.apply)(variables, x, **masks)
      expected = arrays[f'{key}.f{dtype[-2:]}']
      assert out.dtype == dtype
      np.testing.assert_allclose(out, expected, atol=atol, rtol=0)

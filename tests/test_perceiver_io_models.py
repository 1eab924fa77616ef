"""Whole models against DeepMind's outputs on small configurations."""

import jax
import numpy as np
import pytest

from tests import perceiver_goldens as goldens

NAMES = 'mlm', 'imagenet_learned', 'imagenet_fourier', 'flow'


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
  model = goldens.make_model(name, **options)
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

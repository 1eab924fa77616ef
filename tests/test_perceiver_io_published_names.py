"""Written under the published names, variables come back as they were."""

import jax
import numpy as np
import pytest

from perceiver_io import pretrained, published_names
from tests import perceiver_goldens as goldens
from tests.test_perceiver_io_pretrained import (
  assert_equal,
  conv_model,
  multimodal_model,
  numbered,
  spec,
)
from tools import published_models

MODELS = {
  'mlm': 'perceiver_io/masked_language_modelling:base_bytes',
  'imagenet_learned': 'perceiver_io/imagenet:learned',
  'imagenet_fourier': 'perceiver_io/imagenet:fourier',
  'imagenet_conv': 'perceiver_io/imagenet:conv',
  'flow': 'perceiver_io/optical_flow',
  'multimodal': 'perceiver_io/kinetics',
}


def shapes(tensors):
  return {name: tuple(x.shape) for name, x in tensors.items()}


def described(entries):
  return {e['key']: tuple(e['shape']) for e in entries}


@pytest.mark.parametrize('name', MODELS)
def test_names_and_shapes_are_the_published_ones(name):
  """At full size, of all six files, under both names."""
  expected = published_models.variables(MODELS[name])
  params, state = jax.eval_shape(published_names.to_haiku, expected)
  assert shapes(params) == described(spec(name)['haiku']['params'])
  assert shapes(state) == described(spec(name)['haiku']['state'])
  theirs = jax.eval_shape(published_names.to_hugging_face, expected)
  assert shapes(theirs) == described(spec(name)['hf']['state_dict'])


@pytest.mark.parametrize(
  'name', ['mlm', 'imagenet_learned', 'imagenet_fourier', 'flow']
)
def test_round_trip_of_the_golden_models(name):
  arrays, description = goldens.load(name)
  x = arrays['in.inputs' if name == 'mlm' else 'in.images']
  variables = goldens.variables(goldens.make_model(name), description, x)
  params, state = published_names.to_haiku(variables)
  for key, shape in description['params']:
    np.testing.assert_array_equal(params[key], goldens.weight(key, shape))
  assert len(params) == len(description['params'])
  assert_equal(pretrained.from_haiku(params, state, variables), variables)
  theirs = published_names.to_hugging_face(variables)
  assert_equal(pretrained.from_hugging_face(theirs, variables), variables)


@pytest.mark.parametrize(
  'name, make',
  [('imagenet_conv', conv_model), ('multimodal', multimodal_model)],
)
def test_round_trip_at_full_size(name, make):
  expected = make()
  given = {
    key: np.int32(7) if key.endswith('counter') else x
    for part in ('params', 'state')
    for key, x in numbered(spec(name)['haiku'][part]).items()
  }
  variables = pretrained.from_haiku(given, {}, expected)
  params, state = published_names.to_haiku(variables)
  assert set(params) | set(state) == set(given)
  for key, x in {**params, **state}.items():
    np.testing.assert_array_equal(x, given[key], err_msg=key)
  theirs = published_names.to_hugging_face(variables)
  back = pretrained.from_hugging_face(theirs, variables)
  assert_equal(back['params'], variables['params'])
  if 'batch_stats' in variables:  # the sums are lost, the averages are not
    norm = back['batch_stats']['inputs']['features']['batch_norm_0']
    ours = variables['batch_stats']['inputs']['features']['batch_norm_0']
    for kind in 'mean', 'var':
      np.testing.assert_array_equal(norm[kind], ours[kind])
    key = 'perceiver.input_preprocessor.convnet.batchnorm.num_batches_tracked'
    assert theirs[key] == 7


def test_a_model_without_queries_has_deepminds_names_only():
  expected = published_models.variables('perceiver_io/imagenet:original_conv')
  params, _ = jax.eval_shape(published_names.to_haiku, expected)
  assert params['projection_decoder/~/logits/w'].shape == (1024, 1000)
  with pytest.raises(ValueError, match='decoder|outputs/linear'):
    jax.eval_shape(published_names.to_hugging_face, expected)


def test_what_they_do_not_have_is_named():
  variables = {'params': {'encoder': {'cross_attend_1': {'x': np.ones(2)}}}}
  with pytest.raises(ValueError, match='params/encoder/cross_attend_1/x'):
    published_names.to_haiku(variables)

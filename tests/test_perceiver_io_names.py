"""Files by either name give the same variables, and the other way round."""

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_io import models, names
from tests import perceiver_goldens as goldens
from tools import published_models


def spec(name):
  path = goldens.FOLDER / 'state_specs' / f'{name}.json'
  return json.loads(path.read_text())


def to_hugging_face(tensors, name):
  """Renames and lays out Haiku's tensors by the published map."""
  renamed = {}
  for entry in spec(name)['map']:
    x = tensors.get(entry['haiku'])
    if x is None or entry['hf'] is None:  # fewer layers; state that is dropped
      continue
    match entry['transform'].split(' ')[0]:
      case 'transpose':
        x = x.T
      case 'HWIO->OIHW':
        x = x.transpose(3, 2, 0, 1)
      case 'squeeze':
        x = x.squeeze()
    renamed[entry['hf']] = x
  return renamed


def assert_equal(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for (path, x), y in zip(
    jax.tree_util.tree_leaves_with_path(found),
    jax.tree.leaves(expected),
    strict=True,
  ):
    np.testing.assert_array_equal(x, y, err_msg=str(path))


@pytest.mark.parametrize(
  'name', ['mlm', 'imagenet_learned', 'imagenet_fourier', 'flow']
)
def test_both_names_give_the_same_variables(name):
  arrays, described = goldens.load(name)
  x = arrays['in.inputs' if name == 'mlm' else 'in.images']
  model = goldens.make_model(name)
  variables = goldens.variables(model, described, x)
  state_dict = to_hugging_face(goldens.weights(described['params']), name)
  found = names.from_hugging_face(state_dict, variables)
  assert_equal(found, variables)


def shapes(model, x):
  return jax.eval_shape(model.init, jax.random.key(0), x)


def conv_model():
  model = models.classifier(
    inputs=models.conv_features((56, 56)),
    encoder=models.encoder(
      num_latents=512,
      latent_channels=1024,
      num_self_attends_per_block=6,
      num_blocks=8,
    ),
    num_classes=1000,
    query_channels=1024,
    use_query_residual=True,
  )
  return shapes(model, jnp.zeros((1, 32, 32, 3)))


def multimodal_model():
  model = models.multimodal(
    video_size=(16, 224, 224),
    num_audio_samples=30720,
    num_classes=700,
    encoder=models.encoder(
      num_latents=784, latent_channels=512, num_self_attends_per_block=8
    ),
  )
  x = {
    'image': jax.ShapeDtypeStruct((1, 16, 224, 224, 3), 'float32'),
    'audio': jax.ShapeDtypeStruct((1, 30720, 1), 'float32'),
    'label': jax.ShapeDtypeStruct((1, 700), 'float32'),
  }
  return shapes(model, x)


def numbered(described):
  """Tensors that differ from each other and along every axis."""
  return {
    e['key']: np.arange(
      zlib.crc32(e['key'].encode()) % 997,
      zlib.crc32(e['key'].encode()) % 997 + np.prod(e['shape'], dtype=int),
      dtype=np.int32 if e['key'].endswith('counter') else np.float32,
    ).reshape(e['shape'])
    for e in described
  }


@pytest.mark.parametrize(
  'name, make',
  [('imagenet_conv', conv_model), ('multimodal', multimodal_model)],
)
def test_full_size_checkpoints(name, make):
  """Every tensor of the published files finds its place."""
  described, variables = spec(name)['haiku'], make()
  params, state = numbered(described['params']), numbered(described['state'])
  for key in state:
    if key.endswith('counter'):
      state[key] = np.int32(7)
  expected = names.from_haiku(params, state, variables)
  state_dict = to_hugging_face({**params, **state}, name)
  for key in spec(name)['hf']['not_in_haiku']:
    state_dict[key] = np.int64(0)
  assert {e['key'] for e in spec(name)['hf']['state_dict']} == set(state_dict)
  found = names.from_hugging_face(state_dict, variables)
  if 'batch_stats' in expected:
    # What Hugging Face's files do not have is as if averaged for ever.
    theirs = expected['batch_stats']['inputs']['features']['batch_norm_0']
    ours = found['batch_stats']['inputs']['features']['batch_norm_0']
    for kind in 'mean', 'var':
      np.testing.assert_array_equal(ours[f'{kind}_hidden'], theirs[kind])
      ours[f'{kind}_hidden'] = theirs[f'{kind}_hidden']
    assert 1 - np.float32(0.9) ** ours['counter'] == 1
    assert theirs['counter'] == 7
    ours['counter'] = theirs['counter']

    key = 'perceiver.input_preprocessor.convnet.conv.weight'
    state_dict[key] = state_dict[key].swapaxes(2, 3)
    swapped = names.from_hugging_face(
      state_dict, variables, swapped_convolution=True
    )
    np.testing.assert_array_equal(
      swapped['params']['inputs']['features']['conv_0']['kernel'],
      expected['params']['inputs']['features']['conv_0']['kernel'],
    )
  assert_equal(found, expected)


def test_what_does_not_fit_is_listed():
  arrays, described = goldens.load('mlm')
  variables = shapes(
    goldens.make_model('mlm'), jnp.asarray(arrays['in.inputs'])
  )
  params = goldens.weights(described['params'])
  params['embed/embeddings'] = params['embed/embeddings'][:-1]
  params['extra/w'] = np.zeros((2, 3))
  del params['embedding_decoder/bias']
  with pytest.raises(ValueError) as error:
    names.from_haiku(params, {}, variables)
  for part in (
    '3 tensors do not fit',
    'embed/embeddings: found (261, 24), expected (262, 24)',
    'extra/w (2, 3): no place in the model',
    'params/outputs/bias (262,): not in the checkpoint',
  ):
    assert part in str(error.value)


MODELS = {
  'mlm': 'perceiver_io/masked_language_modelling:base_bytes',
  'imagenet_learned': 'perceiver_io/imagenet:learned',
  'imagenet_fourier': 'perceiver_io/imagenet:fourier',
  'imagenet_conv': 'perceiver_io/imagenet:conv',
  'flow': 'perceiver_io/optical_flow',
  'multimodal': 'perceiver_io/kinetics',
}


def shapes_by_name(tensors):
  return {name: tuple(x.shape) for name, x in tensors.items()}


def described_shapes(entries):
  return {e['key']: tuple(e['shape']) for e in entries}


@pytest.mark.parametrize('name', MODELS)
def test_names_and_shapes_are_the_published_ones(name):
  """At full size, of all six files, under both names."""
  expected = published_models.variables(MODELS[name])
  params, state = jax.eval_shape(names.to_haiku, expected)
  assert shapes_by_name(params) == described_shapes(
    spec(name)['haiku']['params']
  )
  assert shapes_by_name(state) == described_shapes(spec(name)['haiku']['state'])
  theirs = jax.eval_shape(names.to_hugging_face, expected)
  assert shapes_by_name(theirs) == described_shapes(
    spec(name)['hf']['state_dict']
  )


@pytest.mark.parametrize(
  'name', ['mlm', 'imagenet_learned', 'imagenet_fourier', 'flow']
)
def test_round_trip_of_the_golden_models(name):
  arrays, description = goldens.load(name)
  x = arrays['in.inputs' if name == 'mlm' else 'in.images']
  variables = goldens.variables(goldens.make_model(name), description, x)
  params, state = names.to_haiku(variables)
  for key, shape in description['params']:
    np.testing.assert_array_equal(params[key], goldens.weight(key, shape))
  assert len(params) == len(description['params'])
  assert_equal(names.from_haiku(params, state, variables), variables)
  theirs = names.to_hugging_face(variables)
  assert_equal(names.from_hugging_face(theirs, variables), variables)


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
  variables = names.from_haiku(given, {}, expected)
  params, state = names.to_haiku(variables)
  assert set(params) | set(state) == set(given)
  for key, x in {**params, **state}.items():
    np.testing.assert_array_equal(x, given[key], err_msg=key)
  theirs = names.to_hugging_face(variables)
  back = names.from_hugging_face(theirs, variables)
  assert_equal(back['params'], variables['params'])
  if 'batch_stats' in variables:  # the sums are lost, the averages are not
    norm = back['batch_stats']['inputs']['features']['batch_norm_0']
    ours = variables['batch_stats']['inputs']['features']['batch_norm_0']
    for kind in 'mean', 'var':
      np.testing.assert_array_equal(norm[kind], ours[kind])
    key = 'perceiver.input_preprocessor.convnet.batchnorm.num_batches_tracked'
    assert theirs[key] == 7


@pytest.mark.full
def test_a_model_without_queries_has_deepminds_names_only():
  expected = published_models.variables('perceiver_io/imagenet:original_conv')
  params, _ = jax.eval_shape(names.to_haiku, expected)
  assert params['projection_decoder/~/logits/w'].shape == (1024, 1000)
  with pytest.raises(ValueError, match='decoder|outputs/linear'):
    jax.eval_shape(names.to_hugging_face, expected)


def test_what_they_do_not_have_is_named():
  variables = {'params': {'encoder': {'cross_attend_1': {'x': np.ones(2)}}}}
  with pytest.raises(ValueError, match='params/encoder/cross_attend_1/x'):
    names.to_haiku(variables)

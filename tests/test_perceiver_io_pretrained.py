"""Checkpoints by either name give the same variables, or a full list."""

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_io import models, pretrained
from tests import perceiver_goldens as goldens


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
  found = pretrained.from_hugging_face(state_dict, variables)
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
  expected = pretrained.from_haiku(params, state, variables)
  state_dict = to_hugging_face({**params, **state}, name)
  for key in spec(name)['hf']['not_in_haiku']:
    state_dict[key] = np.int64(0)
  assert {e['key'] for e in spec(name)['hf']['state_dict']} == set(state_dict)
  found = pretrained.from_hugging_face(state_dict, variables)
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
    swapped = pretrained.from_hugging_face(
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
    pretrained.from_haiku(params, {}, variables)
  for part in (
    '3 tensors do not fit',
    'embed/embeddings: found (261, 24), expected (262, 24)',
    'extra/w (2, 3): no place in the model',
    'params/outputs/bias (262,): not in the checkpoint',
  ):
    assert part in str(error.value)

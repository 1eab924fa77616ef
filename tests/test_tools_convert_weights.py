"""From a published file to a checkpoint that gives the golden outputs."""

import json
import os
import pathlib
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eval as evaluation
from configs.perceiver_io import masked_language_modelling
from perceiver_io import models
from perceiver_paca.weights import files, torch_files
from tests import golden_paca, linear_task, perceiver_goldens
from tools import convert_weights, published_models
from train_lib import sharding, trained, weights

SPECS = pathlib.Path(__file__).parent / 'golden'


def on_device(shapes):
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def golden(name):
  """A golden model's variables, inputs and outputs, by Haiku's names."""
  arrays, described = perceiver_goldens.load(name)
  model = perceiver_goldens.make_model(name)
  x = jnp.asarray(arrays['in.inputs' if name == 'mlm' else 'in.images'])
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x))
  params = perceiver_goldens.weights(described['params'])
  expected = arrays['out_no_mask.f32' if name == 'mlm' else 'out.f32']
  return model, x, shapes, params, expected


def write(path, params, shapes, kind):
  """A file of the golden weights as somebody else would publish it."""
  files.save_haiku(str(path), params, {})
  if kind == 'haiku':
    return
  variables = convert_weights.perceiver_names.from_haiku(params, {}, shapes)
  theirs = convert_weights.NAMINGS['hugging_face'].export(variables)
  save = torch_files.save if kind == 'bin' else files.save_safetensors
  save(str(path), theirs)


@pytest.mark.parametrize(
  'name, kind',
  [
    ('mlm', 'haiku'),
    ('mlm', 'safetensors'),
    ('mlm', 'bin'),
    ('imagenet_learned', 'haiku'),
    ('imagenet_fourier', 'haiku'),
    ('flow', 'haiku'),
    ('flow', 'safetensors'),
  ],
)
def test_golden_outputs_of_perceivers(name, kind, tmp_path):
  model, x, shapes, params, expected = golden(name)
  write(tmp_path / 'file', params, shapes, kind)
  output = str(tmp_path / 'checkpoint')
  convert_weights.import_weights(str(tmp_path / 'file'), output, shapes)
  variables = weights.load_variables(output, on_device(shapes), ())
  found = jax.jit(model.apply)(variables, x)
  if name == 'flow':
    assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.fixture(scope='module')
def tiny_paca(tmp_path_factory):
  """The authors' tiny model in a file of what their trainer saves."""
  spec = json.loads(
    (SPECS / 'paca_vit/state_specs/tiny_p2cconv_100_0.json').read_text()
  )
  tensors = golden_paca.state_dict(
    {name: shape for name, shape, _ in spec['tensors']}
  )
  path = tmp_path_factory.mktemp('paca') / 'tiny.pth'
  torch_files.save(str(path), tensors)
  return path, tensors


@pytest.mark.full
def test_golden_outputs_of_pacavit(tiny_paca, tmp_path):
  path, tensors = tiny_paca
  output = str(tmp_path / 'checkpoint')
  name = convert_weights.import_weights(str(path), output)
  assert name == 'paca_vit/imagenet:tiny_p2cconv_100_0'
  model = published_models.model(name)
  variables = weights.load_variables(
    output, on_device(published_models.variables(name)), ()
  )
  apply = golden_paca.jit(lambda v, x: model.module.apply(v, x, train=False))
  found = apply(variables, golden_paca.images(2, 64, 64))
  expected = golden_paca.load('tiny_p2cconv_100_0_64x64')['logits_f64']
  np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5)

  convert_weights.export_weights(output, str(tmp_path / 'x.pth'), 'pacavit')
  back = files.load(str(tmp_path / 'x.pth'))
  assert set(back) == set(tensors)
  for key, x in tensors.items():
    np.testing.assert_array_equal(back[key], x, err_msg=key)


@pytest.mark.parametrize('kind', ['haiku', 'hugging_face'])
def test_round_trip_of_perceivers(kind, tmp_path):
  _, _, shapes, params, _ = golden('mlm')
  write(tmp_path / 'file', params, shapes, 'haiku')
  convert_weights.import_weights(
    str(tmp_path / 'file'), str(tmp_path / 'first'), shapes
  )
  other = tmp_path / 'other'
  convert_weights.export_weights(str(tmp_path / 'first'), str(other), kind)
  convert_weights.import_weights(str(other), str(tmp_path / 'second'), shapes)
  last = tmp_path / 'last'
  convert_weights.export_weights(str(tmp_path / 'second'), str(last), 'haiku')
  with open(last, 'rb') as file:
    tree = pickle.load(file)
  found = {
    f'{m}/{k}': x for m, leaves in tree.items() for k, x in leaves.items()
  }
  assert set(found) == set(params)
  for key, x in params.items():
    np.testing.assert_array_equal(found[key], x, err_msg=key)


def test_evaluation_takes_also_what_training_replaces(tmp_path):
  config = linear_task.get_config()
  variables = {
    'params': {
      'kernel': np.full((784, 10), 2, np.float32),
      'bias': np.full(10, 3, np.float32),
    },
    'stats': {'steps': np.array(4, np.float32)},
  }
  weights.save_variables(str(tmp_path / 'weights'), variables)
  config.init_from = dict(path=str(tmp_path / 'weights'), exclude=('kernel',))
  mesh = sharding.make_mesh(config.mesh)
  batch = {'image': jax.ShapeDtypeStruct((8, 28, 28, 1), 'float32')}
  _, state = trained.load(config, str(tmp_path / 'run'), mesh, batch)
  jax.tree.map(np.testing.assert_array_equal, state.eval_variables, variables)


def test_what_does_not_fit_is_listed(tiny_paca, tmp_path, monkeypatch):
  naming = convert_weights.NAMINGS['pacavit']  # Of all: ..._identify.py.
  few = [f'paca_vit/imagenet:{x}_p2cconv_100_0' for x in ('small', 'tiny')]
  assert set(few) < set(naming.models)
  monkeypatch.setitem(
    convert_weights.NAMINGS, 'pacavit', naming._replace(models=few)
  )
  tensors = dict(tiny_paca[1])
  del tensors['norm1.bias']
  tensors['head.weight'] = tensors['head.weight'][:10]
  tensors['extra.weight'] = np.ones(3, np.float32)
  path = str(tmp_path / 'x.pth')
  torch_files.save(path, tensors)
  with pytest.raises(ValueError) as error:
    convert_weights.import_weights(path, str(tmp_path / 'checkpoint'))
  for part in (
    'named as by pacavit, against paca_vit/imagenet:tiny_p2cconv_100_0',
    'no tensor norm1.bias',
    'expected head.weight of shape (1000, 384), found (10, 384)',
    'extra.weight: a tensor without a variable',
  ):
    assert part in str(error.value)
  assert not (tmp_path / 'checkpoint').exists()


def test_names_of_others(tmp_path):
  path = str(tmp_path / 'x')
  torch_files.save(path, {'layer.0.weight': np.ones(2, np.float32)})
  with pytest.raises(ValueError, match='layer.0.weight'):
    convert_weights.import_weights(path, str(tmp_path / 'checkpoint'))


def test_kernels_of_hugging_faces_converter(tmp_path):
  """Which way they lie must be said; both ways lead to the same variables."""
  variables = golden_paca.random_variables(
    jax.eval_shape(
      lambda: models.classifier(
        inputs=models.conv_features((4, 4), 2, 8),
        encoder=models.encoder(
          num_latents=4, latent_channels=8, num_self_attends_per_block=1
        ),
        num_classes=3,
        query_channels=8,
        use_query_residual=True,
      ).init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    )
  )
  theirs = convert_weights.NAMINGS['hugging_face'].export(variables)
  name = 'perceiver.input_preprocessor.convnet.conv.weight'
  for swapped in (False, True):
    path, output = str(tmp_path / f'{swapped}'), str(tmp_path / f'c{swapped}')
    kernel = theirs[name].swapaxes(2, 3) if swapped else theirs[name]
    files.save_safetensors(path, {**theirs, name: kernel})
    with pytest.raises(ValueError, match='--swapped_convolution'):
      convert_weights.import_weights(path, output, variables)
    convert_weights.import_weights(
      path, output, variables, swapped_convolution=swapped
    )
    found = weights.read_variables(output)
    np.testing.assert_array_equal(
      found['params']['inputs']['features']['conv_0']['kernel'],
      variables['params']['inputs']['features']['conv_0']['kernel'],
    )


@pytest.mark.full
def test_eval_takes_what_was_converted(tmp_path):
  config = masked_language_modelling.get_config('tiny')
  del config.evals['baselines']
  variables = golden_paca.random_variables(convert_weights.variables_of(config))
  naming = convert_weights.NAMINGS['haiku']
  naming.save(str(tmp_path / 'file'), variables)
  output = str(tmp_path / 'checkpoint')
  convert_weights.import_weights(
    str(tmp_path / 'file'), output, convert_weights.variables_of(config)
  )
  config.init_from.path = output
  found = evaluation.run_evaluators(config, str(tmp_path / 'run'), best=False)
  # What the same weights give without a detour.
  weights.save_variables(str(tmp_path / 'direct'), variables)
  config.init_from.path = str(tmp_path / 'direct')
  direct = evaluation.run_evaluators(config, str(tmp_path / 'run'), best=False)
  assert found == direct
  assert 0 < found['validation/loss'] < 20


@pytest.mark.full
def test_the_program_refuses_commands(tmp_path):
  made = tmp_path / 'made'

  class Command:
    def __reduce__(self):
      return os.system, (f'touch {made}',)

  path, output = tmp_path / 'weights.pickle', tmp_path / 'checkpoint'
  path.write_bytes(pickle.dumps({'w': np.ones(2), 'x': Command()}))
  result = subprocess.run(
    [
      *(sys.executable, '-m', 'tools.convert_weights'),
      *(f'--weights={path}', f'--output={output}'),
    ],
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 1
  assert "refers to 'posix.system'" in result.stderr
  assert 'Traceback' not in result.stderr
  assert not made.exists() and not output.exists()

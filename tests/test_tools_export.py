"""tools.export: what it reads, refuses, describes and writes; formats that need
a runtime are tried in test_tools_export_formats.py."""

import ast
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from absl.testing import flagsaver

from configs.paca_vit import mnist5k
from configs.perceiver_io import glue, masked_language_modelling
from data import image_ops
from data.language import glue as glue_data
from paca_vit import names as paca_names
from perceiver_paca.weights import files
from tests.exported_runs import make_run
from tools.export import __main__ as program_main
from tools.export import (
  card,
  check,
  describe,
  formats,
  parts,
  program,
  rewrite,
  run,
)
from train_lib import run_files, runtime

CLASSES = tuple(f'digit {i}' for i in range(10))


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  config = mnist5k.get_config('tiny')
  config.model.scan_layers = True
  return make_run(tmp_path_factory.mktemp('run'), config, CLASSES)


@pytest.fixture(scope='module')
def exportable(workdir):
  return run.load(run_files.read_config(workdir), workdir)


def load(config, folder, **options):
  path = make_run(folder, config)
  return path, run.load(run_files.read_config(path), path, **options)


def run_program(**flags):
  flags = {'config': None, 'format': 'safetensors'} | flags
  with flagsaver.flagsaver():
    runtime.flags.FLAGS(['export'])
    for name, value in flags.items():
      setattr(runtime.flags.FLAGS, name, value)
    program_main.main(['export'])


def test_predictions_are_the_tasks(exportable):
  """Also of layers that were trained in a loop, which an export has none of."""
  assert list(exportable.inputs) == ['image']
  assert 'cluster_maps/stage_1' in exportable.outputs
  batch = exportable.batch(3)
  expected = jax.jit(exportable.task.predict)(exportable.variables, batch)
  found = jax.jit(exportable.predict)(batch)
  np.testing.assert_array_equal(found['logits'], expected['logits'])
  assert found['logits'].shape == (3, 10)
  assert 'scan' not in str(jax.make_jaxpr(exportable.predict)(batch))


def test_sizes_outputs_and_parameters_as_asked(workdir, exportable):
  config = run_files.read_config(workdir)
  small = run.load(
    config, workdir, size=(20, 24), outputs=['logits'], parameters='float16'
  )
  assert small.inputs['image'].shape == (1, 20, 24, 1)
  assert list(small.outputs) == ['logits']
  kernel = small.variables['params']['head']['kernel']
  assert kernel.dtype == np.float16
  exact = exportable.variables['params']['head']['kernel']
  np.testing.assert_allclose(kernel, exact, rtol=2**-11, atol=1e-7)
  outputs = jax.eval_shape(small.predict, small.batch(2))
  assert outputs['logits'].dtype == np.float32
  for options, message in (
    (dict(outputs=['logit']), r"--outputs: .*no \['logit'\], but .*logits"),
    (dict(size=(32,)), r'--size: found \[32\], but no input has such a size'),
  ):
    with pytest.raises(ValueError, match=message):
      run.load(config, workdir, **options)


def test_size_that_the_model_cannot_take(tmp_path):
  path, exported = load(masked_language_modelling.get_config('tiny'), tmp_path)
  assert sorted(exported.inputs) == ['ids', 'input_mask']
  config = run_files.read_config(path)
  assert run.load(config, path, size=(16,)).inputs['ids'].shape == (1, 16)
  with pytest.raises(ValueError, match='--size: the model does not take it'):
    run.load(config, path, size=(65,))


@pytest.mark.parametrize(
  'flags, message',
  [
    (dict(size=['0']), '--size: found 0, expected a height and a width'),
    (dict(size=['1', '2', '3']), '--size: found 1,2,3, expected'),
  ],
)
def test_refused_before_work_starts(flags, message, workdir, tmp_path):
  with pytest.raises(ValueError, match=message):
    run_program(workdir=workdir, output=str(tmp_path / 'new'), **flags)
  assert not (tmp_path / 'new').exists()


def test_output_with_files_in_it_is_left_alone(workdir, tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  for output, found in ((tmp_path, 'a folder that has'), ('notes.txt', 'a fi')):
    with pytest.raises(ValueError, match=f'--output: .* is {found}'):
      run_program(workdir=workdir, output=str(tmp_path / output))
  assert [x.name for x in tmp_path.iterdir()] == ['notes.txt']


def test_run_without_a_checkpoint(tmp_path):
  with pytest.raises(FileNotFoundError, match='--workdir: .*config.json'):
    run_program(workdir=str(tmp_path), output=str(tmp_path / 'new'))
  config = mnist5k.get_config('tiny')
  run_files.write(str(tmp_path), config, None, 'a config')
  with pytest.raises(FileNotFoundError, match='there is no checkpoint in'):
    run_program(workdir=str(tmp_path), output=str(tmp_path / 'new'))
  assert not (tmp_path / 'new').exists()


def test_unknown_format(capsys):
  with pytest.raises(SystemExit, match='--format=tensorrt: value should be'):
    runtime.parse_flags(['export', '--format=tensorrt'])


@pytest.mark.parametrize('name', formats.FORMATS)
def test_missing_package_is_said_with_what_installs_it(
  name, workdir, tmp_path, monkeypatch
):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ValueError, match=f'--format={name}: found no .*; pip in'):
    run_program(format=name, workdir=workdir, output=str(tmp_path / 'new'))


@pytest.mark.parametrize('size', [(64, 48), (48, 65), (31, 31), (333, 257)])
@pytest.mark.parametrize('side', [28, 32])
def test_pictures_are_read_as_the_evaluation_reads_them(size, side):
  pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
  picture = PIL.Image.fromarray(pixels)
  rule = dict(size=[side, side], short=int(side / 0.9), fraction=0.9)
  np.testing.assert_array_equal(
    parts.short_side(picture, rule),
    image_ops.resize_and_center_crop(picture, size=side, crop_fraction=0.9),
  )
  square = image_ops.center_crop(picture, fraction=0.9)
  np.testing.assert_allclose(
    parts.central_square(picture, rule),
    image_ops.resize_as_tensorflow(square, size=side),
    atol=1e-3,
  )
  rule = dict(size=size, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.1])
  np.testing.assert_allclose(
    parts.normalised(picture, rule),
    image_ops.normalize(picture, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)),
    atol=2e-6,
  )


@pytest.mark.parametrize(
  'texts', [['a short one'], ['two', 'texts: é'], ['long ' * 30, 'and another']]
)
def test_texts_are_read_as_the_evaluation_reads_them(texts, tmp_path):
  path, exported = load(glue.get_config('tiny'), tmp_path)
  about = describe.describe(exported, path, None)
  options = exported.config.data.preprocess
  example = dict(texts=texts, label=0, task=0, mismatched=False)
  expected = glue_data.preprocess(example, train=False, rng=None, **options)
  ((_, found),) = getattr(parts, about['reads'])(texts, about)
  assert sorted(found) == ['ids', 'input_mask', 'task']
  for name in ('ids', 'input_mask'):
    np.testing.assert_array_equal(found[name], expected[name])
    assert found[name].dtype == expected[name].dtype


def test_description_names_the_runs_own_rule(exportable, workdir):
  about = describe.describe(exportable, workdir, 'CC BY 4.0')
  assert about['licence'] == 'CC BY 4.0' and about['labels'] == CLASSES
  assert about['picture'] == dict(
    mean=[0.1307],
    std=[0.3081],
    size=[28, 28],
    mode='L',
    resize='stretch',
    same_as_evaluation=True,
  )
  assert about['reads'] == 'read_pictures'
  assert about['tells'] == 'tell_classes'


def test_pictures_whose_pixels_are_shuffled_are_no_pictures(tmp_path):
  config = mnist5k.get_config('tiny')
  config.data.preprocess.permutation_seed = 1
  path, exported = load(config, tmp_path)
  assert describe.describe(exported, path, None)['reads'] == 'read_arrays'


def test_program_needs_numpy_pillow_and_the_runtime_alone(exportable, workdir):
  about = describe.describe(exportable, workdir, None)
  for name, format_ in formats.FORMATS.items():
    tree = ast.parse(program.source(format_, about))
    modules = set()
    for node in ast.walk(tree):
      if isinstance(node, ast.Import):
        modules |= {x.name.partition('.')[0] for x in node.names}
      elif isinstance(node, ast.ImportFrom):
        modules.add(node.module.partition('.')[0])
    own = modules - {'json', 'pathlib', 'sys', 'numpy', 'PIL'}
    runtimes = dict(
      stablehlo={'jax'}, onnx={'onnxruntime'}, litert={'ai_edge_litert'}
    )
    assert own == runtimes[name]


def test_check_finds_what_differs(exportable):
  def changed(**changes):
    def predict(inputs):
      outputs = jax.device_get(model(inputs))
      return outputs | {k: f(outputs[k]) for k, f in changes.items()}

    return predict

  model = jax.jit(exportable.predict)
  same = check.differences(exportable, model, changed(), (1, 2))
  assert set(same) == set(exportable.outputs)
  assert all(largest <= 1e-6 for largest, _ in same.values())
  for change in (
    lambda x: x + 2e-4 * abs(x).max(),
    lambda x: x * np.nan,
    lambda x: x[:, :-1],
  ):
    with pytest.raises(check.DifferenceError, match='logits'):
      check.differences(exportable, model, changed(logits=change), (1,))
  with pytest.raises(check.DifferenceError, match='logits'):
    check.differences(
      exportable, model, changed(logits=lambda x: x[:1].repeat(len(x), 0)), (2,)
    )


def test_stand_ins_for_none_are_no_scale():
  assert run.scale(np.float32([-1e9, -3, 2])) == 3


def test_rewritten_function_is_the_same_without_loops():
  rng = np.random.default_rng(0)
  x = rng.standard_normal((1, 5, 4, 1)).astype(np.float32)
  matrix = rng.standard_normal((7, 5)).astype(np.float32)

  def function(x):
    total, rows = jax.lax.scan(
      lambda c, row: (c + row, c * row), x[0, 0], x[0], reverse=True
    )
    later = jax.lax.fori_loop(0, 3, lambda i, c: c * 0.5 + i, total)
    product = jnp.einsum('hH,BHWC->BhWC', matrix, x)
    return later, rows, jax.nn.relu(product), jax.nn.gelu(product @ x[0, 0].T)

  new = rewrite.rewritten(function, x)
  assert 'scan' in str(jax.make_jaxpr(function)(x))
  assert 'scan' not in str(jax.make_jaxpr(new)(x))
  for got, want in zip(new(x), function(x), strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_safetensors_are_read_back_under_the_authors_names(workdir, tmp_path):
  output = tmp_path / 'new'
  run_program(workdir=workdir, output=str(output))
  assert {x.name for x in output.iterdir()} == {
    'model.safetensors',
    'model.json',
    'README.md',
  }
  tensors = files.load(str(output / 'model.safetensors'))
  expected = run.load(run_files.read_config(workdir), workdir).variables
  found = paca_names.from_state_dict(tensors, expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  readme = (output / 'README.md').read_text()
  assert 'digit 3' in readme and 'None: the run was not evaluated' in readme
  assert json.loads((output / 'model.json').read_text())['format'] == (
    'safetensors'
  )


def test_card_has_the_runs_figures(workdir, exportable, tmp_path):
  results = dict(
    date='2026-01-02T03:04:05+00:00',
    command='python eval.py --workdir=x',
    metrics={'test/accuracy': 0.875},
  )
  about = describe.describe(exportable, workdir, None)
  about |= dict(figures=results, names="PaCa-ViT's authors'")
  text = card.text(exportable, about, workdir)
  assert '| test/accuracy | 0.875 |' in text
  assert '    python eval.py --workdir=x' in text

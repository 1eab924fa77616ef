"""Every task in every format: written, run, compared, and used by the program
that comes with it, in a process without this repository and without JAX."""

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import predict
from tests import test_tools_export_halves as halves_of
from tests.exported_runs import make_run
from tools.export import __main__ as program_main
from tools.export import apart, describe, formats, quantize, run
from train_lib import run_files

CONFIGS = {
  'classification': 'paca_vit.mnist5k:tiny',
  'folder': 'paca_vit.finetune:tiny',
  'perceiver': 'perceiver_io.mnist5k:tiny',
  'segmentation': 'paca_vit.finetune_segmentation:tiny',
  'depth': 'paca_vit.depth:demo',
  'video': 'paca_vit.video:tiny',
  'language': 'perceiver_io.masked_language_modelling:tiny',
  'sentences': 'perceiver_io.glue:tiny',
  'flow': 'perceiver_io.optical_flow:tiny',
  'tagging': 'perceiver_io.audioset:tiny',
  'autoencoding': 'perceiver_io.kinetics:tiny',
  'entities': 'perceiver_io.starcraft:tiny',
  'arrays': 'perceiver_io.arrays:tiny',
  'detection': 'paca_vit.objects:tiny',
}
# What converters cannot do, and what they say.
REFUSED = {
  ('detection', 'onnx'): 'jax2onnx cannot convert this task',
}
# The converter does not end within minutes.
ENDLESS = (('detection', 'litert'),)
# What the program's process cannot import, of stablehlo but for JAX.
FORBIDDEN = (
  'jax jaxlib flax optax orbax grain ml_collections absl perceiver_paca '
  'perceiver_io paca_vit train_lib data tools predict'
)
BLOCK = """
import sys
class Finder:
  def find_spec(self, name, path=None, target=None):
    top = name.partition('.')[0]
    if top in FORBIDDEN:
      raise ModuleNotFoundError(f'not in this environment: {name}', name=name)
sys.meta_path.insert(0, Finder())
"""
pytestmark = pytest.mark.full


def noted(task, name, **what):
  """For `benchmarks.export`, where the environment says where to."""
  path = os.environ.get('EXPORT_CELLS')
  if path:
    with open(path, 'a') as file:
      file.write(json.dumps(dict(task=task, format=name, **what)) + '\n')


def needs(name):
  absent = formats.missing(formats.FORMATS[name])
  if absent:
    pytest.skip(f'no {", ".join(absent)}: {formats.FORMATS[name].install}')


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Task -> (workdir, exportable), made when it is first asked for."""
  made = {}

  def make(task):
    if task not in made:
      module, _, variant = CONFIGS[task].partition(':')
      config = importlib.import_module(f'configs.{module}').get_config(variant)
      workdir = make_run(tmp_path_factory.mktemp(task), config)
      made[task] = (
        workdir,
        run.load(run_files.read_config(workdir), workdir),
      )
    return made[task]

  return make


def alone(name, folder, *arguments):
  """What predict.py prints where there is only its runtime."""
  block = folder / 'block'
  block.mkdir(exist_ok=True)
  forbidden = set(FORBIDDEN.split())
  if name == 'stablehlo':
    forbidden -= {'jax', 'jaxlib'}
  text = f'FORBIDDEN = {forbidden}\n{BLOCK}'
  (block / 'sitecustomize.py').write_text(text)
  path = f'{block}:{os.environ.get("PYTHONPATH", "")}'
  done = subprocess.run(
    [sys.executable, str(folder / 'predict.py'), *map(str, arguments)],
    capture_output=True,
    text=True,
    cwd=folder,
    env=os.environ | {'PYTHONPATH': path},
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def draw(path, size=(75, 50)):
  pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
  PIL.Image.fromarray(pixels).resize(size).save(path)
  return path


def arguments_of(about, exportable, folder):
  match about['reads']:
    case 'read_pictures' | 'read_canvas':
      return [draw(folder / 'a.png')]
    case 'read_frames':
      return [draw(folder / 'a.png'), draw(folder / 'b.png')]
    case 'read_text':
      return ['What is [MASK]t?']
  path = folder / 'a.npz'
  np.savez(path, **{k: x[0] for k, x in exportable.batch(1).items()})
  return [path]


@pytest.mark.parametrize('task', CONFIGS)
@pytest.mark.parametrize('name', formats.FORMATS)
def test_exported_file_is_the_model_and_its_program_runs_alone(
  name, task, runs, tmp_path
):
  needs(name)
  if (task, name) in ENDLESS:
    noted(task, name, refused='not converted')
    pytest.skip('the converter does not end within minutes')
  workdir, exportable = runs(task)
  about = describe.describe(exportable, workdir, None)
  if (task, name) in REFUSED:
    with pytest.raises(ValueError, match=REFUSED[task, name]):
      program_main.export(exportable, name, tmp_path, about)
    noted(task, name, refused='refused')
    return
  measured = program_main.export(exportable, name, tmp_path, about)
  noted(task, name, check=measured)
  assert set(measured['largest_difference']) == set(exportable.outputs)
  # Weights are random, so that no output is 0 by itself.
  assert any(x['of_scale'] > 0 for x in measured['largest_difference'].values())
  about = json.loads((tmp_path / 'model.json').read_text())
  assert about['batch'] == (1 if name == 'litert' else about['batch'])
  printed = alone(name, tmp_path, *arguments_of(about, exportable, tmp_path))
  assert printed or about['tells'] == 'tell_boxes'


@pytest.mark.parametrize('task', ['classification', 'folder', 'perceiver'])
@pytest.mark.parametrize('name', formats.FORMATS)
def test_program_says_what_the_runs_own_predictions_say(
  name, task, runs, tmp_path
):
  needs(name)
  workdir, exportable = runs(task)
  about = describe.describe(exportable, workdir, None)
  program_main.export(exportable, name, tmp_path, about)
  path = draw(tmp_path / 'a.png')
  (expected,) = predict.load(workdir)([path])
  rows = [x.split() for x in alone(name, tmp_path, path).splitlines()]
  labels = [str(x) for k, x in expected.values.items() if k[:5] == 'label']
  assert [row[1] for row in rows] == labels
  probabilities = [x for k, x in expected.values.items() if k[:5] == 'proba']
  np.testing.assert_allclose(
    [float(row[2]) for row in rows], probabilities, atol=2e-5
  )


@pytest.mark.parametrize('name', formats.FORMATS)
def test_parameters_of_half_the_bits(name, runs, tmp_path):
  needs(name)
  workdir, _ = runs('classification')
  half = run.load(run_files.read_config(workdir), workdir, parameters='float16')
  about = describe.describe(half, workdir, None)
  program_main.export(half, name, tmp_path, about)


# Of the language model onnxruntime's tool stumbles over an addend.
@pytest.mark.parametrize(
  'name, task',
  [
    ('onnx', 'classification'),
    ('litert', 'classification'),
    ('litert', 'language'),
  ],
)
def test_eight_bits(name, task, runs, tmp_path):
  needs(name)
  quantize.check_format(name)
  workdir, exportable = runs(task)
  about = describe.describe(exportable, workdir, None)
  measured = program_main.export(exportable, name, tmp_path, about, True)
  found = measured['int8']
  path = tmp_path / formats.FORMATS[name].file
  assert found['bytes'] == path.stat().st_size
  before, after = (found[k]['accuracy'] for k in ('before', 'after'))
  # Random weights are right by chance, of bytes never.
  assert before < 1 and abs(after - before) < 0.1
  assert 'held-out examples' in program_main.report(name, measured)
  arguments = arguments_of(about, exportable, tmp_path)
  assert alone(name, tmp_path, *arguments)


@pytest.mark.parametrize('make', [halves_of.asked, halves_of.flow])
@pytest.mark.parametrize('name', formats.FORMATS)
def test_encoder_and_decoder_as_two_files(name, make, tmp_path):
  needs(name)
  exportable = make(tmp_path)
  workdir = exportable.config.init_from.path.removesuffix('/weights')
  about = describe.describe(exportable, workdir, None)
  output = tmp_path / 'new'
  output.mkdir()
  measured = apart.export(exportable, name, output, about, 100)
  assert sorted(measured) == ['decoder', 'encoder']
  names = {x.stem for x in output.iterdir()}
  assert names == {'encoder', 'decoder', 'model', 'predict'}
  if make is halves_of.flow:
    arguments = arguments_of(about, exportable, output)
  else:
    arguments = [output / 'a.npz']
    rng = np.random.default_rng(0)
    shapes = dict(x=(9, 3), coordinates=(9, 2), queries=(130, 2))
    arrays = {k: rng.uniform(5, 9, x) for k, x in shapes.items()}
    np.savez(arguments[0], **arrays)
  printed = alone(name, output, *arguments)
  if make is not halves_of.flow:
    assert 'numbers float32[130, 1]' in printed
  else:
    assert np.load(output / 'a.flow.npy').shape == (48, 64, 2)


def test_wrong_file_leaves_nothing_behind(runs, tmp_path, monkeypatch):
  """As a converter does that makes a mistake."""
  needs('stablehlo')
  workdir, exportable = runs('classification')
  format_ = formats.FORMATS['stablehlo']

  def write(path, exportable):
    wrong = exportable._replace(
      predict=lambda x: {k: 1.01 * y for k, y in exportable.predict(x).items()}
    )
    return format_.write(path, wrong)

  monkeypatch.setitem(
    formats.FORMATS, 'stablehlo', format_._replace(write=write)
  )
  from tests.test_tools_export import run_program

  with pytest.raises(ValueError, match='of the exported file differs from'):
    run_program(
      format='stablehlo', workdir=workdir, output=str(tmp_path / 'new')
    )
  assert not list(tmp_path.iterdir())

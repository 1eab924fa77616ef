"""The models of results/zoo: each is whole, small, and as good as it says."""

import itertools
import subprocess
import sys

import jax
import numpy as np
import pytest

import predict
from data.arrays import digits_as_points
from data.flow import photo_flow
from tests.processes import ROOT, environment
from tools import zoo
from train_lib import (
  evaluators,
  metrics,
  pipeline,
  run_files,
  setup,
  sharding,
  trained,
)

NUM_EXAMPLES = 300


@pytest.mark.parametrize('name', zoo.names())
def test_a_model_is_whole(name, capsys):
  folder = zoo.folder(name)
  about, card = zoo.about(name), (folder / 'README.md').read_text()
  assert {x.name for x in folder.iterdir()} >= {
    'README.md',
    'model.json',
    'model.safetensors',
    'run',
  }
  assert f'# {name}\n' in card and 'not stated' not in about['licence']
  assert about['shown']
  for key in about['shown']:
    assert f'| {key} | {about["figures"]["metrics"][key]:.4g} |' in card
  run_files.read_config(str(folder / zoo.RUN))
  assert 'was changed' not in capsys.readouterr().out


def test_the_page_says_what_the_cards_say():
  lines = (zoo.ZOO.parent.parent / 'docs' / 'zoo.md').read_text().splitlines()
  rows = [line.split(' | ') for line in lines if line.startswith('| `')]
  assert [row[0].strip('| `') for row in rows] == zoo.names()
  for name, *_, figures, count in rows:
    name = name.strip('| `')
    about = zoo.about(name)
    told = [f'{x} {about["figures"]["metrics"][x]:.3f}' for x in about['shown']]
    assert figures == ', '.join(told)
    card = (zoo.folder(name) / 'README.md').read_text()
    assert f'\n{count.rstrip(" |")} parameters of' in card


def test_all_of_them_are_small():
  assert zoo.names()
  sizes = [x.stat().st_size for x in zoo.ZOO.rglob('*') if x.is_file()]
  assert sum(sizes) < 10e6


@pytest.mark.full
@pytest.mark.parametrize('name', zoo.names())
def test_a_model_is_as_good_as_its_card_says(name, tmp_path, monkeypatch):
  """On a slice of what it was not trained on, by three standard errors."""
  monkeypatch.setattr(zoo, 'CACHE', str(tmp_path))
  monkeypatch.chdir(tmp_path)
  workdir = zoo.workdir(name)
  config = run_files.read_config(workdir)
  if name == 'digits_as_points':
    digits_as_points.main(['--data_dir=.'])
  shown = zoo.about(name)['shown'][0]
  evaluator, _, metric = shown.partition('/')
  stated = zoo.about(name)['figures']['metrics'][shown]
  mesh = sharding.make_mesh(config.mesh, jax.devices()[:1])
  section = evaluators.sections(config)[evaluator]
  try:
    pipeline.open_source(section.data)
  except (FileNotFoundError, ModuleNotFoundError) as e:
    pytest.skip(f'its data are not here: {e}')
  task, state = trained.load(
    config, workdir, mesh, setup.evaluation_batch(config)
  )
  if section.module != 'train_lib.evaluate':  # It has no slices.
    with config.unlocked():
      config.evals = {evaluator: config.evals[evaluator]}
    made = evaluators.make(config, task, mesh, workdir)
    found = evaluators.run(made, [evaluator], state)[shown]
    assert found == pytest.approx(stated, rel=1e-3)
    return
  batches = pipeline.make_eval_batches(
    section.data, sharding=sharding.batch_sharding(mesh)
  )
  number = -(-NUM_EXAMPLES // section.data.batch_size)
  measure = sharding.jit_on_batches(mesh, task.metrics)
  total = None
  for batch in itertools.islice(batches, number):
    found = measure(state.eval_variables, batch)
    total = metrics.merged(total, found)
  count = number * section.data.batch_size
  error = 3 * np.sqrt(stated * (1 - stated) / count)
  assert metrics.computed(total)[metric] == pytest.approx(stated, abs=error)


@pytest.mark.full
def test_flow_sees_which_way(monkeypatch, tmp_path):
  """Of a photograph that moves as a whole."""
  pytest.importorskip('skimage')
  monkeypatch.setattr(zoo, 'CACHE', str(tmp_path / 'cache'))
  photo = photo_flow.source('test', None)[0]['photographs'][0][1]
  pair = photo[8:104, 11:139], photo[8:104, 8:136]
  (found,) = predict.load(zoo.workdir('flow'))([pair])
  assert found.error is None
  motion = np.frombuffer(found.files['.flo'][12:], '<f4').reshape(96, 128, 2)
  across, down = np.median(motion, (0, 1))
  assert 1.5 < across < 4  # 3
  assert abs(down) < 0.8


def run_predict(*arguments):
  return subprocess.run(
    [sys.executable, 'predict.py', *arguments],
    cwd=ROOT,
    env=environment(),
    capture_output=True,
    text=True,
  )


@pytest.mark.full
def test_a_first_answer_needs_no_training():
  picture = 'docs/images/strip.png'
  done = run_predict('--model=digits_on_photos', picture)
  assert done.returncode == 0, done.stderr
  name, label, probability, *_ = done.stdout.split()
  assert name == picture and label in map(str, range(10))
  assert 0.1 < float(probability) <= 1
  for wrong in ([], ['--model=brain', '--workdir=x']):
    done = run_predict(*wrong, picture)
    assert done.returncode and 'Traceback' not in done.stderr
    assert 'model' in done.stderr and 'workdir' in done.stderr

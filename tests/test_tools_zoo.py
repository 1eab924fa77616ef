"""tools.zoo: models that come along, how they are made and opened."""

import json
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

import predict
from configs.perceiver_io import masked_language_modelling
from tests import linear_task
from tests.exported_runs import make_run
from tools import zoo, zoo_entry
from train_lib import run_files, weights

OPTIONS = dict(best=False, licence='CC0', shown=[], note='A test.')


@pytest.fixture
def own_zoo(tmp_path, monkeypatch):
  """An empty one, opened into an empty cache."""
  monkeypatch.setattr(zoo, 'ZOO', tmp_path / 'zoo')
  monkeypatch.setattr(zoo, 'CACHE', str(tmp_path / 'cache'))
  return tmp_path / 'zoo'


def make(workdir, target, **options):
  return zoo_entry.make(workdir, target, 'a command', OPTIONS | options)


def small_run(folder):
  config = linear_task.get_config()
  return make_run(folder, config, [f'digit {i}' for i in range(10)])


def test_what_was_made_is_opened_with_half_the_bits(own_zoo, tmp_path):
  workdir = small_run(tmp_path / 'run')
  metrics = make(workdir, own_zoo / 'small', shown=['test/accuracy'])
  assert zoo.names() == ['small']
  opened = zoo.workdir('small')
  assert zoo.workdir('small') == opened  # made once
  found = weights.read_variables(opened)
  expected = weights.read_variables(f'{workdir}/weights')
  jax.tree.map(
    lambda x, y: np.testing.assert_array_equal(
      x, y.astype(np.float16).astype(np.float32)
    ),
    found,
    expected,
  )
  assert run_files.read_classes(opened) == run_files.read_classes(workdir)
  changed = run_files.differing(
    run_files.read_config(opened), run_files.read_config(workdir)
  )
  assert changed == ['init_from.path']
  about = zoo.about('small')
  assert about['figures']['metrics'] == pytest.approx(metrics)
  card = (own_zoo / 'small' / 'README.md').read_text()
  assert '# small\n' in card and 'A test.' in card and 'CC0' in card
  assert f'| test/accuracy | {metrics["test/accuracy"]:.4g} |' in card


@pytest.mark.full
def test_names_of_hugging_face_are_read(own_zoo, tmp_path):
  config = masked_language_modelling.get_config('tiny')
  del config.evals.baselines
  workdir = make_run(tmp_path / 'run', config)
  make(workdir, own_zoo / 'text')
  assert zoo.about('text')['names'] == "Hugging Face's"
  found = weights.read_variables(f'{zoo.workdir("text")}/weights')
  expected = weights.read_variables(f'{workdir}/weights')
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-7),
    found,
    expected,
  )


def test_another_file_is_opened_anew(own_zoo, tmp_path):
  make(small_run(tmp_path / 'run'), own_zoo / 'small')
  before = zoo.workdir('small')
  path = own_zoo / 'small' / zoo.ABOUT
  path.write_text(json.dumps(zoo.about('small') | {'note': 'changed'}))
  assert zoo.workdir('small') != before


def test_unknown_and_existing_names(own_zoo, tmp_path):
  with pytest.raises(ValueError, match=r"--model: found 'x', expected one of"):
    zoo.workdir('x')
  (own_zoo / 'y').mkdir(parents=True)
  with pytest.raises(ValueError, match='--model: .*y exists already'):
    make('nowhere', own_zoo / 'y')


def test_unknown_metric_leaves_nothing_behind(own_zoo, tmp_path):
  workdir = small_run(tmp_path / 'run')
  with pytest.raises(ValueError, match=r"--shown: found \['a'\], expected"):
    make(workdir, own_zoo / 'small', shown=['a'])
  assert not list(own_zoo.iterdir())


def run_predict(**given):
  with flagsaver.flagsaver():
    predict.flags.FLAGS([sys.argv[0]])
    for name, value in (dict(workdir=None, config=None) | given).items():
      setattr(predict.flags.FLAGS, name, value)
    predict.main(['predict.py', 'nothing.png'])


def test_predictions_of_an_unknown_model(own_zoo):
  with pytest.raises(SystemExit, match="--model: found 'digit', expected one"):
    run_predict(model='digit')

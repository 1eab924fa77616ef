"""predict.py gives what the evaluation has, for files as people have them."""

import csv
import json
import sys

import jax
import numpy as np
import PIL.Image
import pytest
from absl.testing import flagsaver

import predict
import train
from data.images import mnist5k
from tests import linear_task, odd_images
from train_lib import (
  in_parts,
  pipeline,
  run_files,
  runtime,
  sharding,
  trained,
)

NAMES = tuple(f'digit {i}' for i in range(10))


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = str(tmp_path_factory.mktemp('run'))
  config = linear_task.get_config()
  run_files.write(folder, config, NAMES, 'linear')
  train.train_and_evaluate(config, folder)
  return folder


@pytest.fixture(scope='module')
def evaluated(workdir):
  """Probabilities [256, 10] of the evaluation's own batches."""
  config = run_files.read_config(workdir)
  mesh = sharding.make_mesh(config.mesh)
  batches = pipeline.make_eval_batches(
    pipeline.inherited(config.data, config.evals.test.data),
    sharding=sharding.batch_sharding(mesh),
  )
  task, state = trained.load(config, workdir, mesh, batches.element_spec)
  logits = [task.predict(state.eval_variables, x)['logits'] for x in batches]
  return np.asarray(jax.nn.softmax(np.concatenate(logits)))


def write_digits(folder, count):
  folder.mkdir(exist_ok=True)
  paths = []
  for i, example in enumerate(mnist5k.synthetic('test', count)):
    path = folder / f'{i:03}.png'
    PIL.Image.fromarray(example['image'][..., 0]).save(path)
    paths.append(path)
  return paths


@pytest.mark.parametrize(
  ('count', 'part'), [(1, 64), (64, 64), (100, 64), (100, 2)]
)
def test_predictions_are_the_evaluations(
  workdir, evaluated, tmp_path, monkeypatch, count, part
):
  """Of fewer inputs than a batch, of a batch, and of more; and in parts."""
  monkeypatch.setattr(in_parts, 'part_size', lambda *args: part)
  paths = write_digits(tmp_path / 'digits', count)
  predictor = predict.load(workdir)
  found = predictor(predictor.expand([str(tmp_path / 'digits')])[0])
  assert [x.input for x in found] == [str(path) for path in paths]
  assert not any(x.error for x in found)
  for x, probabilities in zip(found, evaluated, strict=False):
    order = np.argsort(-probabilities)
    assert x.values['label'] == NAMES[order[0]]
    assert x.values['label_5'] == NAMES[order[4]]
    np.testing.assert_allclose(
      [x.values['probability'], x.values['probability_5']],
      probabilities[order[[0, 4]]],
      atol=2e-6,
    )


def test_paths_bytes_and_pixels_are_the_same(workdir, tmp_path):
  path = write_digits(tmp_path / 'x', 3)[2]
  pixels = np.asarray(PIL.Image.open(path))[..., None]
  found = predict.load(workdir)([path, str(path), path.read_bytes(), pixels])
  assert len({json.dumps(x.values) for x in found}) == 1
  assert [x.input for x in found[2:]] == ['<data>', '<data>']


def test_what_cannot_be_read_does_not_stop_the_rest(workdir, tmp_path):
  paths = write_digits(tmp_path / 'x', 70)
  for i in (0, 5, 69):
    paths[i].write_bytes(b'')
  found = predict.load(workdir)(paths)
  assert [i for i, x in enumerate(found) if x.error] == [0, 5, 69]
  assert found[5].error.startswith(f'{paths[5]}: the file is empty')
  assert all(x.values for x in found if not x.error)
  paths[1].write_bytes(b'')
  assert predict.load(workdir)([paths[0], paths[1]])[1].error


def run_program(workdir, *arguments, **flags):
  """The program in this process: what it printed is captured by pytest."""
  flags = {'workdir': workdir, 'config': None} | flags
  with flagsaver.flagsaver():
    predict.flags.FLAGS([sys.argv[0]])
    for name, value in flags.items():
      if value is not None:
        setattr(predict.flags.FLAGS, name, value)
    predict.main(['predict.py', *map(str, arguments)])


def test_the_program_writes_tables_and_its_code_says_what_failed(
  workdir, tmp_path, capsys
):
  paths = write_digits(tmp_path / 'x', 10)
  run_program(workdir, tmp_path / 'x', output=str(tmp_path / 'new/p.csv'))
  with open(tmp_path / 'new/p.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['input'] for row in rows] == [str(path) for path in paths]
  assert {row['label'] for row in rows} <= set(NAMES)
  assert all(0.1 <= float(row['probability']) <= 1 for row in rows)

  bad = tmp_path / 'bad.jpg'
  bad.write_bytes(odd_images.wrong()['half.jpg'][0])
  with pytest.raises(SystemExit, match='3 inputs cannot be read'):
    run_program(
      workdir,
      *(bad, paths[3], tmp_path / 'nowhere.png', tmp_path / 'new'),
      output=str(tmp_path / 'p.jsonl'),
    )
  captured = capsys.readouterr()
  for message in ('bad.jpg: the file is broken', 'nowhere.png: ', 'new: expe'):
    assert message in captured.err
  lines = (tmp_path / 'p.jsonl').read_text().splitlines()
  assert [json.loads(line)['input'] for line in lines] == [str(paths[3])]
  assert json.loads(lines[0])['label'] == rows[3]['label']

  run_program(workdir, paths[3])
  printed = capsys.readouterr().out
  assert printed.startswith(f'{paths[3]}  {rows[3]["label"]}  0.')


def test_run_whose_task_has_no_predictions(workdir, monkeypatch):
  monkeypatch.delattr(linear_task, 'PREDICTIONS')
  with pytest.raises(ValueError, match='no predictions for tests.linear_task'):
    predict.load(workdir)


def test_folder_without_a_run(tmp_path):
  with pytest.raises(FileNotFoundError, match='--workdir: .*config.json'):
    predict.load(str(tmp_path))
  assert runtime.config_file() is None

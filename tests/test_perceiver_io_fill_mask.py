"""fill_mask: a program of a user, from a checkpoint to words."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs.perceiver_io import masked_language_modelling
from data.language import tokenizer
from tools import fill_mask
from train_lib import checkpoint, setup, trained
from train_lib import sharding as sharding_lib

BYTES = tokenizer.make_tokenizer(None)


class Copies:
  """Predicts x at the first blank and y at the others, with 3 : 1 odds."""

  def predict(self, variables, batch):
    del variables
    ids = batch['ids']
    blank = (ids == tokenizer.MASK).astype('int32')
    first = (blank * blank.cumsum(1)) == 1
    x, y = tokenizer.encode('xy')
    best = jax.nn.one_hot(jax.numpy.where(first, x, y), 262)
    other = jax.nn.one_hot(jax.numpy.where(first, y, x), 262)
    odds = 0.75 * best + 0.25 * other
    return {'logits': jax.numpy.log(odds + 1e-12)}


def test_blanks_are_filled_and_nothing_else_changes():
  ids = fill_mask.encode('näive _a_', '_', BYTES, 64)
  filled = fill_mask.fill(Copies(), {}, BYTES, ids)
  assert filled.text == 'näive xay'
  (first, second) = filled.candidates
  assert [token for token, _ in first[:2]] == ['x', 'y']
  assert [token for token, _ in second[:2]] == ['y', 'x']
  np.testing.assert_allclose([p for _, p in first], [0.75, 0.25, 0], atol=1e-6)


def test_every_blank_is_one_token():
  ids = fill_mask.encode('a [MASK][MASK]b', '[MASK]', BYTES, 64)
  expected = [*tokenizer.encode('a '), 3, 3, *tokenizer.encode('b')]
  assert ids.tolist() == expected


@pytest.mark.parametrize(
  'text, blank, message',
  [
    ('no blank', '[MASK]', r"found no '\[MASK\]'"),
    ('_' * 65, '_', 'found 65 tokens, expected at most 64'),
    (b'\xff_', '_', 'expected UTF-8'),
    ('\udcff_', '_', 'expected UTF-8'),  # as a shell's argument arrives
    ('text', '', '--blank'),
  ],
)
def test_bad_input_is_named(text, blank, message):
  with pytest.raises(ValueError, match=message):
    fill_mask.encode(text, blank, BYTES, 64)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run's folder with a checkpoint of a new model."""
  ids = np.zeros((1, 64), np.int32)
  made = setup.make_setup(
    masked_language_modelling.get_config('tiny'), batch={'ids': ids}
  )
  path = tmp_path_factory.mktemp('run')
  checkpoints = checkpoint.Checkpoints(str(path), 1)
  state = made.init()
  checkpoints.save(state, {'next_batch': 0})
  checkpoints.close()
  return path, state


def test_a_checkpoint_is_what_predicts(workdir):
  path, state = workdir
  config = masked_language_modelling.get_config('tiny')
  ids = fill_mask.encode('some _ text', '_', BYTES, 64)
  mesh = sharding_lib.make_mesh(config.mesh)
  batch = {'ids': ids[None], 'input_mask': np.ones((1, len(ids)), np.float32)}
  task, loaded = trained.load(config, str(path), mesh, batch)
  variables = loaded.eval_variables
  jax.tree.map(np.testing.assert_array_equal, variables['params'], state.params)
  filled = fill_mask.fill(task, variables, BYTES, ids)
  assert len(filled.candidates) == 1
  logits = task.predict(variables, batch)['logits'][0, 5]
  best = tokenizer.decode([int(np.argmax(logits))])
  assert filled.candidates[0][0][0] == best


def run(*flags, stdin=b''):
  return subprocess.run(
    [
      *(sys.executable, '-m', 'tools.fill_mask'),
      '--config=configs/perceiver_io/masked_language_modelling.py:tiny',
      *flags,
    ],
    input=stdin,
    env={**os.environ, 'PYTHONPATH': '.'},
    capture_output=True,
    timeout=300,
  )


@pytest.mark.full
def test_the_program_reads_standard_input(workdir):
  result = run(f'--workdir={workdir[0]}', '--blank=_', stdin=b'some _ text')
  output = result.stdout.decode()
  assert result.returncode == 0, result.stderr
  assert output.startswith('some ') and 'blank 1: ' in output


@pytest.mark.full
def test_the_program_ends_with_a_sentence_on_bad_input(tmp_path):
  result = run(f'--workdir={tmp_path}', '--text=_', '--blank=_')
  assert result.returncode == 1
  assert b'there is no checkpoint' in result.stderr
  assert b'Traceback' not in result.stderr

"""Blanks filled by words and by tokens, from a checkpoint to text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import predict
from configs.perceiver_io import masked_language_modelling
from data.language import filled, tokenizer
from train_lib import checkpoint, run_files, setup

BYTES = tokenizer.make_tokenizer(None)


class Copies:
  """Predicts x at the first blank and y at the others, with 3 : 1 odds."""

  def predict(self, variables, batch):
    del variables
    blank = (batch['ids'] == tokenizer.MASK).astype('int32')
    first = (blank * blank.cumsum(1)) == 1
    x, y = tokenizer.encode('xy')
    best = jax.nn.one_hot(jnp.where(first, x, y), 262)
    other = jax.nn.one_hot(jnp.where(first, y, x), 262)
    return {'logits': jnp.log(0.75 * best + 0.25 * other + 1e-12)}


class Knows:
  """Is sure of 'cat' where three tokens in a row are masked, else of 'z'; and
  likes blanks and special ids even better."""

  def predict(self, variables, batch):
    del variables
    ids = batch['ids']
    blank = ids == tokenizer.MASK
    three = blank.sum(axis=1, keepdims=True) == 3
    place = jnp.clip(blank.cumsum(1) - 1, 0, 2)
    cat = jnp.asarray(tokenizer.encode('cat'))[place]
    (z,) = tokenizer.encode('z')
    sure = jnp.where(three, 0.4, 0.2)[..., None]
    word = sure * jax.nn.one_hot(jnp.where(three, cat, z), 262)
    (space,) = tokenizer.encode(' ')
    special = jax.nn.one_hot(space, 262) + jax.nn.one_hot(tokenizer.MASK, 262)
    return {'logits': jnp.log(word + 0.25 * special + 1e-12)}


def fill(task, given, **options):
  config = masked_language_modelling.get_config('tiny')
  kind = filled.make_predictions(config, None, **options)
  batch = {name: x[None] for name, x in kind.example(given).items()}
  output = jax.tree.map(
    lambda x: np.asarray(x[0]), kind.outputs(task, {}, batch)
  )
  return kind.result(given, output)[0]


def test_a_word_of_any_length_best_first():
  """Neither white space nor special ids make words."""
  found = fill(Knows(), 'the [MASK] sat')
  assert found['text'] == 'the cat sat' and found['words'] == 'cat'
  assert found['probability'] == pytest.approx(0.4 / 0.9, abs=1e-4)
  assert set(found['words_2']) == {'z'}
  assert found['probability_2'] < found['probability']


def test_by_tokens_nothing_else_changes():
  found = fill(Copies(), 'näive _a_', by='tokens', blank='_')
  assert found['text'] == 'näive xay'
  assert found['blank_1'].startswith("'x' 0.75  'y' 0.25")
  assert found['blank_2'].startswith("'y' 0.75  'x' 0.25")


def test_lengths_that_are_tried():
  config = masked_language_modelling.get_config('tiny')
  kind = filled.make_predictions(config, None, longest=5)
  one = kind.example('a [MASK]b')
  lengths = (one['ids'] == tokenizer.MASK).sum(axis=1)
  assert lengths.tolist() == [1, 2, 3, 4, 5]
  assert one['input_mask'].sum(axis=1).tolist() == [4, 5, 6, 7, 8]
  assert len(kind.example('[MASK] [MASK]')['ids']) == 25
  assert len(kind.example('[MASK] [MASK] [MASK]')['ids']) == 64
  # What is longer than the model reads is not tried.
  assert len(kind.example('a' * 62 + '[MASK]')['ids']) == 2


@pytest.mark.parametrize(
  'given, options, message',
  [
    ('no blank', {}, r"found no '\[MASK\]'"),
    ('_' * 65, {'blank': '_'}, 'found 65 tokens, expected at most 64'),
    (b'\xff_', {'blank': '_'}, 'expected UTF-8'),
    ('\udcff_', {'blank': '_'}, 'expected UTF-8'),  # as shells pass it
    ('text', {'blank': ''}, '--option: blank'),
    ('text', {'by': 'letters'}, '--option: by: expected words or tokens'),
    ('text', {'longest': 0}, '--option: longest'),
  ],
)
def test_bad_input_is_named(given, options, message):
  with pytest.raises(ValueError, match=message):
    fill(Copies(), given, **options)


@pytest.mark.full
def test_a_checkpoint_is_what_predicts(tmp_path):
  config = masked_language_modelling.get_config('tiny')
  made = setup.make_setup(config, batch={'ids': np.zeros((1, 64), np.int32)})
  state = made.init()
  run_files.write(str(tmp_path), config, None, None)
  checkpoints = checkpoint.Checkpoints(str(tmp_path), 1)
  checkpoints.save(state, {'next_batch': 0})
  checkpoints.close()
  predictor = predict.load(str(tmp_path), by='tokens')
  good, bad = predictor(['some [MASK] text', 'none'])
  ids = tokenizer.encode('some X text')
  ids[5] = tokenizer.MASK
  batch = {'ids': ids[None], 'input_mask': np.ones((1, len(ids)), np.float32)}
  variables = {'params': state.params}
  logits = np.array(made.task.predict(variables, batch)['logits'][0, 5])
  logits[[tokenizer.PAD, tokenizer.MASK, tokenizer.CLS, tokenizer.SEP]] = -99
  best = tokenizer.decode([int(np.argmax(logits))])
  assert good.values['text'] == f'some {best} text'
  assert "found no '[MASK]'" in bad.error

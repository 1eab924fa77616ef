"""Fills the blanks of a text with what a trained model predicts.

  python -m tools.fill_mask --workdir=runs/mlm \
    --config=configs/perceiver_io/masked_language_modelling.py:demo \
    --text='Return [MASK][MASK][MASK] list of strings.'

Every [MASK] is one token; for a model of bytes a word of three letters is
three. `--blank=_` lets underscores stand for tokens. Without --text the text is
standard input. Printed are the whole text, filled with the likeliest tokens,
and the likeliest tokens of each blank with their probabilities.
"""

import sys
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags

from data.language import text as text_lib
from data.language.tokenizer import make_tokenizer
from train_lib import runtime, sharding, trained
from train_lib.task import Task

TEXT = flags.DEFINE_string('text', None, 'Text with blanks; default: stdin.')
BLANK = flags.DEFINE_string('blank', '[MASK]', 'What stands for a token.')
NUM_CANDIDATES = 3


class Filled(NamedTuple):
  """Attributes:
  text: with every blank filled by its likeliest token.
  candidates: for each blank (token, probability), the likeliest first.
  """

  text: str
  candidates: list[list[tuple[str, float]]]


def encode(
  text: str | bytes, blank: str, tokenizer: Any, max_length: int
) -> np.ndarray:
  """The ids [M] of a text, the mask's id for each blank.

  Raises:
    ValueError: for text that is not UTF-8, has no blank or too many tokens.
  """
  if not blank:
    raise ValueError("--blank: found '', expected what stands for a token.")
  parts = text_lib.as_text(text).split(blank)
  if len(parts) == 1:
    raise ValueError(f'--text: found no {blank!r}, expected one or more.')
  ids = [tokenizer.encode(parts[0])]
  for part in parts[1:]:
    ids += [np.int32([tokenizer.mask_id]), tokenizer.encode(part)]
  ids = np.concatenate(ids)
  if len(ids) > max_length:
    raise ValueError(
      f'--text: found {len(ids)} tokens, expected at most {max_length}, the '
      'length that the model was trained with.'
    )
  return ids


def fill(task: Task, variables: Any, tokenizer: Any, ids: np.ndarray) -> Filled:
  """Predicts all masked tokens of ids [M] at once."""
  batch = _batch(ids[None])
  logits = jax.jit(task.predict)(variables, batch)['logits'][0]
  probabilities = np.array(jax.nn.softmax(logits))
  blanks = np.flatnonzero(ids == tokenizer.mask_id)
  best = np.argsort(-probabilities[blanks], kind='stable')[:, :NUM_CANDIDATES]
  filled = ids.copy()
  filled[blanks] = best[:, 0]
  candidates = [
    [
      (tokenizer.decode([token]), float(probabilities[i, token]))
      for token in row
    ]
    for i, row in zip(blanks, best, strict=True)
  ]
  return Filled(tokenizer.decode(filled), candidates)


def _batch(ids: np.ndarray) -> dict[str, np.ndarray]:
  ones = np.ones(ids.shape, np.float32)
  return {'ids': ids, 'input_mask': ones, 'mask': ones[:, 0]}


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  config = runtime.CONFIG.value
  options = config.data.preprocess
  tokenizer = make_tokenizer(options.tokenizer_model)
  text = sys.stdin.buffer.read() if TEXT.value is None else TEXT.value
  try:
    ids = encode(text, BLANK.value, tokenizer, options.length)
    task, state = trained.load(
      config,
      runtime.WORKDIR.value,
      sharding.make_mesh(config.mesh),
      _batch(np.zeros((1, options.length), np.int32)),
      trained.BEST.value,
    )
  except (ValueError, FileNotFoundError) as e:
    raise SystemExit(str(e)) from e
  filled = fill(task, state.eval_variables, tokenizer, ids)
  print(filled.text)
  for i, candidates in enumerate(filled.candidates, 1):
    shown = '  '.join(f'{token!r} {p:.2f}' for token, p in candidates)
    print(f'blank {i}: {shown}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)

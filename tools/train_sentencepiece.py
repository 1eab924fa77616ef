"""Trains a SentencePiece model on a data set of text.

  pip install -e '.[text]'
  python -m tools.train_sentencepiece --model=english.model

The model's path is then --config.data.preprocess.tokenizer_model of
configs/perceiver_io/masked_language_modelling.py:base_sentencepiece. Of a
user's own table it is --module=data.language.table --data_dir=TABLE.
"""

import importlib

import numpy as np
from absl import app, flags

from data.language import tokenizer

MODEL = flags.DEFINE_string('model', None, 'File to write.')
MODULE = flags.DEFINE_string(
  'module', 'data.language.c4_wikipedia', 'Data module of text.'
)
DATA_DIR = flags.DEFINE_string('data_dir', None, "Default: TFDS's own.")
VOCAB_SIZE = flags.DEFINE_integer('vocab_size', 32_000, 'Pieces.')
NUM_EXAMPLES = flags.DEFINE_integer(
  'num_examples', 100_000, 'Raw examples to train on, spread over the set.'
)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  module = importlib.import_module(MODULE.value)
  source = module.source('train', DATA_DIR.value)
  count = min(NUM_EXAMPLES.value, len(source))
  chosen = np.linspace(0, len(source) - 1, count).astype(int)
  texts = (text for i in chosen for text in _texts(source[i]))
  tokenizer.train_sentencepiece(texts, MODEL.value, VOCAB_SIZE.value)


def _texts(raw: dict) -> list[str]:
  """Those of a raw example: of documents, or of a table's row."""
  return raw['texts'] if 'texts' in raw else [raw['text'][: raw['span']]]


if __name__ == '__main__':
  flags.mark_flags_as_required(['model'])
  app.run(main)

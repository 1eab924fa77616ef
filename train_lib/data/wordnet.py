"""Sentence pairs of WordNet 3.0: is a word used in the same sense in both?

WordNet illustrates senses by sentences. Of two that use the same word, a pair
of one sense is labelled 1, a pair of two senses 0; a word gives as many of
either, at most. A tenth of the words, by a checksum, is the test split. The
files are those of Debian's `wordnet-base` in /usr/share/wordnet:

  apt-get install wordnet-base

Like GLUE's MRPC it has pairs and two labels, so that it goes as that task.
"""

import itertools
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from train_lib.data import glue, tfds_source

preprocess = glue.preprocess
FOLDER = '/usr/share/wordnet'
_FILES = ('data.adj', 'data.adv', 'data.noun', 'data.verb')


class Wordnet(tfds.core.GeneratorBasedBuilder):
  """Writes balanced pairs of example sentences."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'A tenth of the words tests.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Pairs of sentences that use a word in one sense or in two.',
      features=tfds.features.FeaturesDict(
        {
          'word': tfds.features.Text(),
          'sentence1': tfds.features.Text(),
          'sentence2': tfds.features.Text(),
          'label': tfds.features.ClassLabel(num_classes=2),
        }
      ),
      homepage='https://wordnet.princeton.edu',
    )

  def _split_generators(self, dl_manager):
    splits = {'train': [], 'test': []}
    for word, senses in sorted(_senses(FOLDER).items()):
      split = 'train' if zlib.crc32(word.encode()) % 10 else 'test'
      splits[split] += [(word, *pair) for pair in balanced_pairs(senses)]
    return {
      split: self._generate_examples(pairs) for split, pairs in splits.items()
    }

  def _generate_examples(self, pairs):
    for i, (word, first, second, label) in enumerate(pairs):
      yield (
        i,
        {
          'word': word,
          'sentence1': first,
          'sentence2': second,
          'label': label,
        },
      )


def balanced_pairs(
  senses: Sequence[Sequence[str]],
) -> list[tuple[str, str, int]]:
  """Pairs of one word's sentences, as many of one sense as of two.

  Args:
    senses: the sentences of each sense.
  """
  same = [pair for s in senses for pair in itertools.combinations(s, 2)]
  different = [
    pair
    for a, b in itertools.combinations(senses, 2)
    for pair in itertools.product(a, b)
  ]
  # Those that come first would favour the first senses.
  by_checksum = sorted(different, key=lambda p: zlib.crc32(repr(p).encode()))
  count = min(len(same), len(different))
  return [(*pair, 1) for pair in same[:count]] + [
    (*pair, 0) for pair in by_checksum[:count]
  ]


def _senses(folder: str) -> dict[str, list[list[str]]]:
  """Word and part of speech -> the sentences of its senses that have any."""
  senses = defaultdict(list)
  for file in _FILES:
    path = os.path.join(folder, file)
    if not os.path.exists(path):
      raise FileNotFoundError(
        f'The data set is read from {path}, which does not exist; '
        '`apt-get install wordnet-base` installs it.'
      )
    with open(path, encoding='utf-8') as f:
      for line in f:
        if line.startswith('  '):  # The licence.
          continue
        fields, _, gloss = line.partition(' | ')
        fields = fields.split(' ')
        # offset, file, part of speech, number of words (hexadecimal), then
        # each word with its number.
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        sentences = re.findall('"([^"]+)"', gloss)
        for word in words:
          word = re.sub(r'\(\w+\)$', '', word).replace('_', ' ')
          used = [
            s
            for s in sentences
            if re.search(rf'\b{re.escape(word)}\b', s, re.IGNORECASE)
          ]
          if used:
            senses[f'{word} ({file})'].append(used)
  return senses


def source(split: str, data_dir: str | None) -> glue.Concatenation:
  """Raw examples as those of GLUE's MRPC."""
  pairs = tfds_source.prepare_and_open(Wordnet, split, data_dir)
  return glue.as_task(pairs, 'mrpc')


def synthetic(split: str) -> Sequence[dict[str, Any]]:
  """Examples shaped like `source`'s, of invented words."""
  return glue.synthetic(f'mrpc/{split}')

"""Sentence pairs of WordNet 3.0: does the first entail the second?

A sentence is a sense's first word and its definition. Of two senses one of
which is a kind of the other, the pair is labelled 0 (entailment) if the first
is a kind of the second ('sparrow: ...', 'bird: ...') and 1 (none) if it is the
other way round; a checksum decides which way, so that either label is as
frequent. A fifth of the senses, by a checksum too, is the test split's; a pair
of senses from both splits is dropped. The files are those of Debian's
`wordnet-base` in /usr/share/wordnet:

  apt-get install wordnet-base

Like GLUE's RTE it has pairs and two labels, so that it goes as that task.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds

from data import tfds_source
from data.language import glue

preprocess = glue.preprocess
FOLDER = '/usr/share/wordnet'
_FILES = ('data.noun', 'data.verb')  # The others have no kinds.
_HYPERNYM = '@'
_TEST_SHARE = 5  # One in so many senses.


class Wordnet(tfds.core.GeneratorBasedBuilder):
  """Writes pairs of definitions."""

  VERSION = tfds.core.Version('2.0.0')
  RELEASE_NOTES = {
    '2.0.0': 'Pairs of senses one of which is a kind of another.'
  }

  def _info(self):
    return self.dataset_info_from_configs(
      description='Pairs of definitions: does the first entail the second?',
      features=tfds.features.FeaturesDict(
        {
          'sentence1': tfds.features.Text(),
          'sentence2': tfds.features.Text(),
          'label': tfds.features.ClassLabel(
            names=['entailment', 'not_entailment']
          ),
        }
      ),
      homepage='https://wordnet.princeton.edu',
    )

  def _split_generators(self, dl_manager):
    splits = {'train': [], 'test': []}
    for file in _FILES:
      with open(_path(file), encoding='utf-8') as f:
        for split, pair in pairs(f):
          splits[split].append(pair)
    return {
      split: self._generate_examples(found) for split, found in splits.items()
    }

  def _generate_examples(self, found):
    for i, (first, second, label) in enumerate(found):
      yield i, {'sentence1': first, 'sentence2': second, 'label': label}


def pairs(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, str, int]]]:
  """The pairs of one part of speech, each with its split.

  Args:
    lines: of WordNet's data file, as wndb(5) describes them.
  """
  sentences, kinds = {}, []
  for line in lines:
    if line.startswith('  '):  # The licence.
      continue
    fields, _, gloss = line.partition(' | ')
    # offset, file, part of speech, number of words (hexadecimal), each word
    # with its number, number of pointers, each with four fields.
    offset, _, _, num_words, word, *fields = fields.split(' ')
    definition = re.sub(r'"[^"]*"', '', gloss).strip(' ;\n')
    sentences[offset] = f'{word.replace("_", " ")}: {definition}'
    pointers = fields[2 * int(num_words, 16) :]
    kinds += [
      (offset, target)
      for symbol, target in zip(pointers[::4], pointers[1::4], strict=False)
      if symbol == _HYPERNYM
    ]
  for kind, general in kinds:
    if _split(kind) == _split(general):
      label = zlib.crc32(f'{kind} {general}'.encode()) % 2
      first, second = (general, kind) if label else (kind, general)
      yield _split(kind), (sentences[first], sentences[second], label)


def _split(offset: str) -> str:
  return 'train' if zlib.crc32(offset.encode()) % _TEST_SHARE else 'test'


def _path(file: str) -> str:
  path = os.path.join(FOLDER, file)
  if not os.path.exists(path):
    raise FileNotFoundError(
      f'The data set is read from {path}, which does not exist; '
      '`apt-get install wordnet-base` installs it.'
    )
  return path


def source(split: str, data_dir: str | None) -> glue.Concatenation:
  """Raw examples as those of GLUE's RTE."""
  found = tfds_source.prepare_and_open(Wordnet, split, data_dir)
  return glue.as_task(found, 'rte')


def synthetic(split: str) -> Sequence[dict[str, Any]]:
  """Examples shaped like `source`'s, of invented words."""
  return glue.synthetic(f'rte/{split}')

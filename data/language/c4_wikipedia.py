"""C4 and English Wikipedia, mixed 70 : 30 by tokens (Jaegle et al. 2021b, F.3).

TFDS needs TensorFlow and Apache Beam to prepare them, once, on a cluster (C4 is
some 800 GB, from Common Crawl):

  pip install -e '.[tf]' apache-beam
  python -m data.prepare language.c4_wikipedia --data_dir DIR

To read them, none of that is needed. C4 has splits 'train' and 'validation',
Wikipedia has only 'train': its first percent is the validation set.
"""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from data import tfds_source
from data.language import text

preprocess = text.preprocess_masked

_C4, _WIKIPEDIA = 'c4/en', 'wikipedia/20230601.en'
_COMMAND = 'python -m data.prepare language.c4_wikipedia --data_dir DIR'
_SPLITS = {
  'train': ('train', 'train[1%:]'),
  'validation': ('validation', 'train[:1%]'),
}


class Mixture(Sequence):
  """Ten raw examples in turn: seven of the first source, three of the second.

  Every example becomes a crop of as many tokens, so the shares are those of
  tokens. As long as it takes to see all of one source; the other is repeated.
  """

  _PATTERN = (0, 0, 1, 0, 0, 1, 0, 0, 1, 0)

  def __init__(self, first: Sequence[Any], second: Sequence[Any]):
    self._sources = first, second
    self._shares = [self._PATTERN.count(s) for s in (0, 1)]

  def __len__(self) -> int:
    rounds = max(
      -(-len(s) // n) for s, n in zip(self._sources, self._shares, strict=True)
    )
    return rounds * len(self._PATTERN)

  def __getitem__(self, index: int) -> dict[str, Any]:
    text.check_index(self, index)
    turn, place = divmod(index, len(self._PATTERN))
    which = self._PATTERN[place]
    source, share = self._sources[which], self._shares[which]
    i = turn * share + self._PATTERN[:place].count(which)
    return source[i % len(source)] | {'index': index}


def source(split: str, data_dir: str | None) -> Mixture:
  """Ten documents of one of the two at a time; see `text`.

  Args:
    split: 'train' or 'validation'.
    data_dir: where data sets live; None for TFDS's own default.
  """
  if split not in _SPLITS:
    raise ValueError(
      f'config.data.split: found {split!r}; expected one of {list(_SPLITS)}.'
    )
  return Mixture(
    *(
      text.Packs(
        tfds_source.open_prepared(
          name, part, data_dir, command=_COMMAND, decoders={}
        )
      )
      for name, part in zip((_C4, _WIKIPEDIA), _SPLITS[split], strict=True)
    )
  )


def synthetic(split: str, num_documents: int = 200) -> Mixture:
  """Examples shaped like `source`'s, of invented words."""
  documents = [
    {'text': document.encode()}
    for document in text.synthetic_documents(split, num_documents)
  ]
  return Mixture(text.Packs(documents), text.Packs(documents[::-1]))


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(
    __name__, 'Prepares C4 and Wikipedia.'
  )
  args = parser.parse_args(argv)
  tfds_source.require_tensorflow('C4 and Wikipedia', 'apache-beam')
  for name in (_C4, _WIKIPEDIA):
    tfds_source.prepare(functools.partial(tfds.builder, name), args)

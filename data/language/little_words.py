"""Which little word is left out, of Python's documentation, as a user's table.

  python -m data.prepare language.little_words --data_dir=.

writes ./little_words.csv with the columns text, label and split. A text is what
stands around a, an, are or is, 30 letters before it and 31 after it, with ___
in its place: `exception is ___ subclass of`. Which words there are tells little
of what is left out; which letters stand next to the gap tells more. The
documents of the test are those of `python_docs`, without what stands in the
others, too. Of each word there are as many as there are, up to 2,000 to train
and 200 to test.
"""

import collections
import re
import zlib
from collections.abc import Iterator

from data import tfds_source
from data.language import python_docs, table, text

WORDS = ('a', 'an', 'are', 'is')
_LEFT, _RIGHT = 30, 31  # letters
_GAP = '___'
_MOST = {'train': 2_000, 'test': 200}
# Between words, so that signs and code do not tell it.
_WORD = re.compile(rf'(?<=[a-z] )({"|".join(WORDS)})(?= [a-z])')


def main(argv):
  args = tfds_source.preparation_parser(
    __name__, 'Writes little_words.csv.'
  ).parse_args(argv)
  found = collections.defaultdict(set)
  for name, document in python_docs.documents():
    split = text.split_of(name)
    for sentence, word in gaps(document):
      found[split, word].add(sentence)
  rows = []
  known = set().union(*(found['train', word] for word in WORDS))
  for (split, word), texts in sorted(found.items()):
    if split == 'test':
      texts = texts - known  # Documents repeat each other.
    chosen = sorted(texts, key=lambda x: zlib.crc32(x.encode()))
    rows += [(x, word, split) for x in chosen[: _MOST[split]]]
  table.write(args.data_dir, 'little_words', rows)


def gaps(document: str) -> Iterator[tuple[str, str]]:
  """(what stands around it, word) of each of the words in a document."""
  document = ' '.join(document.split())
  for match in _WORD.finditer(document):
    start, end = match.span()
    if start >= _LEFT:
      before = document[start - _LEFT : start]
      yield f'{before}{_GAP}{document[end : end + _RIGHT]}', match[1]

"""Reuters' news of 1987 on corn or not, a file as a user would have it.

Debian's package `weka` has 1,554 texts to train and 604 to test, of 45 and 24
of which the topic is corn (Reuters-21578, ModApte split):

  apt-get install weka
  python -m data.prepare language.reuters_corn --data_dir=. \
    --manual_dir=/usr/share/doc/weka/examples

writes ./corn.csv with the columns text, label and split.
"""

import pathlib
import re

from data import folders, tfds_source
from data.language import table

# A line of Weka's ARFF files: 'text',0. Quotes and backslashes are escaped.
_LINE = re.compile(r"'((?:[^'\\]|\\.)*)',([01])")
_ESCAPED = {'n': '\n', 'r': '\r', 't': '\t'}


def main(argv):
  args = tfds_source.preparation_parser(
    __name__, 'Writes corn.csv.', manual_dir='ReutersCorn-{train,test}.arff'
  ).parse_args(argv)
  rows = []
  for split in 'train', 'test':
    path = pathlib.Path(args.manual_dir, f'ReutersCorn-{split}.arff')
    rows += [(*row, split) for row in read(path)]
  table.write(args.data_dir, 'corn', rows)


def read(path: pathlib.Path) -> list[tuple[str, str]]:
  """(text, 'corn' or 'other') of each line of an ARFF file's data.

  Raises:
    ValueError: naming file and line, which is none of a text and 0 or 1.
  """
  lines = folders.read_text(path).splitlines()
  found = []
  for number, line in enumerate(lines[lines.index('@data') + 1 :], 1):
    if not line.strip():
      continue
    match = _LINE.fullmatch(line)
    if match is None:
      raise ValueError(
        f"{path}, line {number} of @data: expected 'text',0 or 'text',1; found "
        f'{line[:40]!r}.'
      )
    text = re.sub(
      r'\\(.)', lambda x: _ESCAPED.get(x[1], x[1]), match[1], flags=re.S
    )
    found.append((text.strip(), 'corn' if match[2] == '1' else 'other'))
  return found

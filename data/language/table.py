"""Your own texts: a table with a class, or a number, for each text or pair.

  TABLE.csv (or .tsv, .jsonl)   columns text[, text2], label[, split][, group],
                                with number instead of label for a number

where TABLE is config.data.data_dir. Where no split is given, a fifth is
'validation' by a hash of the text, so that equal texts are in one split; rows
of one group stay together.
"""

import collections
import csv
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data import doubts, folders, splits, tables
from data.images import folder
from data.language import glue, text

_TEXTS = ('text', 'text2')


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """`texts`, one or two, `label`, `file_name` (with line) and `classes`, or of
  numbers `num_outputs`.

  Raises:
    ValueError: naming the table, the line and what is wrong with it.
  """
  if data_dir is None:
    raise ValueError(
      'config.data.data_dir: expected a table with the columns text and label; '
      'found None.'
    )
  path = pathlib.Path(data_dir).expanduser()
  rows = tables.read(path, ('text',))
  kind = tables.label_column(path, rows[0], 'text')
  found = collections.defaultdict(list)
  for row in rows:
    where = f'{path}, line {row["line"]}'
    for name in ('text', kind, 'split'):
      if not row.get(name, '' if name == kind else 'none'):
        raise ValueError(f'{where}: expected a {name}, found none.')
    name = row.get('split') or splits.by_hash(row.get('group') or row['text'])
    label = row[kind] if kind == 'label' else tables.number(where, row[kind])
    found[name].append(
      {'texts': texts_of(row), 'label': label, 'file_name': where}
    )
  if 'split' not in rows[0]:
    numbers = ', '.join(f'{len(found[x])} {x}' for x in sorted(found))
    folders.say_once(f'{path}: split by a hash of the texts: {numbers}.')
  doubts.say_texts(
    path,
    {
      name: [(x['texts'], x['label']) for x in examples]
      for name, examples in found.items()
    },
  )
  split = splits.called(split, found)
  if kind == 'number':
    return [x | {'num_outputs': 1} for x in found[split]]
  classes = folder.sort_names({row['label'] for row in rows})
  if len(classes) < 2:
    raise ValueError(
      f'{path}: expected two classes or more, found {list(classes)}.'
    )
  absent = sorted(set(classes) - {x['label'] for x in found[split]})
  if absent and splits.called('train', found) == split:
    raise ValueError(
      f'{path}: expected texts of every class in the split {split!r}, found '
      f'none of {absent}.'
    )
  return [
    x | {'label': classes.index(x['label']), 'classes': classes}
    for x in found[split]
  ]


derived = tables.derived_of_labels


def texts_of(row: dict[str, str]) -> list[str]:
  """The one or two texts of a row of a table."""
  return [row[name] for name in _TEXTS if name in row]


def synthetic(split: str, num_examples: int = 64) -> list[dict[str, Any]]:
  """Invented words in three classes, each with a word of its own."""
  classes = ('art', 'music', 'sport')
  documents = text.synthetic_documents(split, num_examples)
  return [
    {
      'texts': [f'{classes[i % 3]} {documents[i][:40]}'],
      'label': i % 3,
      'file_name': f'synthetic, line {i}',
      'classes': classes,
    }
    for i in range(num_examples)
  ]


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  length: int,
  tokenizer_model: str | None = None,
) -> dict[str, np.ndarray]:
  """`glue.preprocess`, which says how texts are joined and cut.

  Returns:
    `ids` int32 [M], `input_mask` float32 [M] and `label`, int32 [] of classes,
    float32 [] of a number.
  """
  found = glue.preprocess(
    example | {'task': 0, 'mismatched': False},
    train=train,
    rng=rng,
    length=length,
    begin_with_cls=False,
    tokenizer_model=tokenizer_model,
  )
  return {
    'ids': found['ids'],
    'input_mask': found['input_mask'],
    'label': (np.int32 if 'classes' in example else np.float32)(
      example['label']
    ),
  }


def write(
  data_dir: str, name: str, rows: Sequence[tuple[str, str, str]]
) -> None:
  """Writes data_dir/name.csv, a table of (text, label, split)."""
  path = pathlib.Path(data_dir).expanduser() / f'{name}.csv'
  with open(path, 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(('text', 'label', 'split'))
    writer.writerows(rows)
  print(f'{path}: {len(rows)} texts.')

"""Gaps in documents become a table that `data.language.table` reads."""

import collections
import re

from data.language import little_words, python_docs, table, text

TEXT = """The module defines a number of
classes which are used by the others, and (is) an `in` the end a word."""


def test_what_stands_around_a_gap():
  found = list(little_words.gaps(TEXT))
  # Not where signs stand beside it, nor within the first 30 letters.
  assert [word for _, word in found] == ['are', 'a']
  document = ' '.join(TEXT.split())
  for sentence, word in found:
    before, after = sentence.split('___')
    assert len(before) == 30
    assert f'{before}{word}{after}' in document
  assert found[0][0] == (
    'nes a number of classes which ___ used by the others, and (is) a'
  )


def test_splits_and_how_many_at_most(tmp_path, monkeypatch, capsys):
  names = [f'{i}' for i in range(40)]
  monkeypatch.setattr(
    python_docs,
    'documents',
    lambda: [(x, re.sub('(classes|word)', rf'\g<1>{x}', TEXT)) for x in names],
  )
  monkeypatch.setattr(little_words, '_MOST', {'train': 7, 'test': 2})
  little_words.main([f'--data_dir={tmp_path}'])
  assert '/little_words.csv: ' in capsys.readouterr().out
  path = str(tmp_path / 'little_words.csv')
  texts = {}
  for split, most in (('train', 7), ('test', 2)):
    examples = table.source(split, path)
    labels = collections.Counter(x['label'] for x in examples)
    assert set(labels) == {0, 1} and set(labels.values()) == {most}
    texts[split] = {x['texts'][0] for x in examples}
    numbers = re.findall(r'(?:classes|word)([0-9]+)', ' '.join(texts[split]))
    assert {text.split_of(x) for x in numbers} == {split}
  little_words.main([f'--data_dir={tmp_path}'])
  again = {x['texts'][0] for x in table.source('train', path)}
  assert again == texts['train']

"""Pairs of definitions, from a small file in WordNet's own format."""

import zlib

import pytest

from data.language import wordnet

# Licence; offset, file, part of speech, words (hexadecimal) each with a number,
# pointers (symbol, offset, part of speech, source/target), ' | ' and the gloss.
LICENCE = '  1 This software and database is being provided to you\n'


def line(offset, words, pointers, gloss):
  fields = [offset, '05', 'n', f'{len(words):02x}']
  fields += [f'{word} 0' for word in words]
  fields += [f'{len(pointers):03}']
  fields += [f'{symbol} {to} n 0000' for symbol, to in pointers]
  return f'{" ".join(fields)} | {gloss}  \n'


def offsets(split, count):
  found = (f'{i:08}' for i in range(1_000_000))
  return [
    x
    for x in (next(found) for _ in range(1000))
    if (zlib.crc32(x.encode()) % 5 == 0) == (split == 'test')
  ][:count]


def test_a_pair_is_a_kind_and_what_it_is_a_kind_of():
  bird, sparrow, dove = offsets('train', 3)
  lines = [
    LICENCE,
    line(bird, ['bird'], [('~', sparrow)], 'it flies; "a bird sang"'),
    line(sparrow, ['house_sparrow', 'sparrow'], [('@', bird)], 'a small bird'),
    line(dove, ['dove'], [('!', bird), ('@', bird)], 'it coos; it flies'),
  ]
  found = dict(
    (frozenset(pair[:2]), (split, pair)) for split, pair in wordnet.pairs(lines)
  )
  general = 'bird: it flies'
  assert set(found) == {
    frozenset((general, 'house sparrow: a small bird')),
    frozenset((general, 'dove: it coos; it flies')),
  }
  for split, (first, second, label) in found.values():
    assert split == 'train'
    assert (second if label == 0 else first) == general


def test_senses_of_the_test_split_are_never_trained_on():
  train, test = offsets('train', 20), offsets('test', 20)
  lines = [
    line(x, [f'w{x}'], [('@', y) for y in train + test if y != x], f'g{x}')
    for x in train + test
  ]
  seen = {'train': set(), 'test': set()}
  for split, (first, second, _) in wordnet.pairs(lines):
    seen[split] |= {first[1:9], second[1:9]}
  assert seen == {'train': set(train), 'test': set(test)}


def test_without_the_files_it_says_what_to_install(monkeypatch, tmp_path):
  monkeypatch.setattr(wordnet, 'FOLDER', str(tmp_path))
  with pytest.raises(FileNotFoundError, match='apt-get install wordnet-base'):
    wordnet.source('train', str(tmp_path / 'data'))

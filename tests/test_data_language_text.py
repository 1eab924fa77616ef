"""Packing, cropping, whole-word masks, and the data sets of text."""

import numpy as np
import pytest
import sentencepiece

from data.language import c4_wikipedia, python_docs, text, tokenizer

BYTES = dict(length=64, tokenizer_model=None, mask_rate=0.15)
SENTENCE = 'It is  a\ttruth,\nuniversally\u00a0acknowledged: naïve Ω. '


def example(document, span=1, index=0):
  return {'text': document, 'span': span, 'index': index}


def masked(document, seed=0, train=True, **options):
  return text.preprocess_masked(
    example(document, options.pop('span', 1), options.pop('index', 0)),
    train=train,
    rng=np.random.default_rng(seed) if train else None,
    **BYTES | options,
  )


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('tfds'))


def words_by_hand(document):
  """The word of each byte, by splitting bytes."""
  found, word, inside = [], -1, False
  for byte in document.encode():
    space = byte in b' \t\n\r\x0b\x0c'
    word += not space and not inside
    inside = not space
    found.append(-1 if space else word)
  return found


def test_words_of_bytes():
  tokens = tokenizer.make_tokenizer(None)
  ids = tokens.encode(SENTENCE)
  assert tokens.word_ids(ids).tolist() == words_by_hand(SENTENCE)
  assert max(words_by_hand(SENTENCE)) + 1 == len(SENTENCE.encode().split())
  special = np.array([tokenizer.CLS, *tokens.encode('a b'), tokenizer.SEP])
  assert tokens.word_ids(special).tolist() == [-1, 0, -1, 1, -1]


def test_words_are_masked_whole_and_nothing_else_changes():
  for seed in range(30):
    result = masked(SENTENCE, seed, mask_rate=0.5)
    size = len(SENTENCE.encode())
    assert result['input_mask'].tolist() == [1] * size + [0] * (64 - size)
    chosen = result['loss_mask'] > 0
    targets, ids = result['targets'], result['ids']
    assert tokenizer.decode(targets) == SENTENCE
    assert (ids[chosen] == tokenizer.MASK).all()
    np.testing.assert_array_equal(ids[~chosen], targets[~chosen])
    words = np.array(words_by_hand(SENTENCE))
    assert not chosen[:size][words < 0].any() and not chosen[size:].any()
    for word in range(words.max() + 1):
      assert len(set(chosen[:size][words == word])) == 1


def test_each_word_is_masked_at_the_rate_independently_of_its_neighbours():
  word_ids = np.repeat(np.arange(2000), 3)
  rng = np.random.default_rng(0)
  drawn = np.stack(
    [text.masked_words(word_ids, rng, 0.15)[::3] for _ in range(100)]
  )
  assert drawn.mean() == pytest.approx(0.15, abs=4 * 0.357 / 447)
  both = (drawn[:, 1:] & drawn[:, :-1]).mean()
  assert both == pytest.approx(0.15**2, abs=0.002)
  # Not a fixed number a sequence: binomial.
  assert drawn.sum(1).std() == pytest.approx(
    (2000 * 0.15 * 0.85) ** 0.5, rel=0.3
  )


def test_no_words_no_masks():
  assert not masked(' \n ', mask_rate=1.0)['loss_mask'].any()


def test_evaluation_masks_are_fixed_and_differ_between_examples():
  document = 'word ' * 12
  a, again, b = (masked(document, train=False, index=i) for i in (3, 3, 4))
  np.testing.assert_array_equal(a['ids'], again['ids'])
  assert (a['ids'] != b['ids']).any()


def test_training_crops_begin_anywhere_in_the_span():
  document = ''.join(chr(33 + i) for i in range(90))
  starts = {
    int(masked(document, seed, span=20)['targets'][0]) - 6 - 33
    for seed in range(300)
  }
  assert starts == set(range(20))
  # But not where the text would end before the sequence.
  starts = {
    int(masked(document, seed, span=80)['targets'][0]) - 6 - 33
    for seed in range(300)
  }
  assert starts == set(range(90 - 64 + 1))
  fixed = masked(document, train=False, span=20)
  assert tokenizer.decode(fixed['targets']) == document[:64]


def test_windows_cover_every_document_once_by_tens():
  documents = text.synthetic_documents('train', 23)
  windows = text.Windows(documents, 100)
  covered = ''.join(w['text'][: w['span']] for w in windows)
  packs = [text.SEPARATOR.join(documents[i : i + 10]) for i in (0, 10, 20)]
  assert covered == ''.join(packs)
  assert windows[0]['text'] == packs[0]
  assert [w['index'] for w in windows] == list(range(len(windows)))


def test_packs_hold_ten_documents_each():
  documents = [{'text': f'd{i}'.encode()} for i in range(23)]
  packs = text.Packs(documents)
  assert len(packs) == 3
  found = text.SEPARATOR.join(p['text'] for p in packs)
  assert found.split(text.SEPARATOR) == [f'd{i}' for i in range(23)]
  assert packs[0]['text'].count(text.SEPARATOR) == 9


def test_text_that_is_not_utf8_is_named():
  with pytest.raises(ValueError, match='text: expected UTF-8'):
    text.pack([b'fine', b'\xff'])


@pytest.mark.full
def test_python_docs_are_split_by_document(data_dir, monkeypatch):
  documents = dict(python_docs.documents())  # Takes seconds: only once.
  monkeypatch.setattr(python_docs, 'documents', documents.items)
  train = python_docs.source('train', data_dir)
  test = python_docs.source('test', data_dir)
  found = ''.join(w['text'][: w['span']] for s in (train, test) for w in s)
  assert all(document in found for document in documents.values())
  share = sum(w['span'] for w in test) / sum(w['span'] for w in train)
  assert 0.05 < share < 0.2
  held_out = ''.join(w['text'][: w['span']] for w in test)
  kept = ''.join(w['text'][: w['span']] for w in train)
  assert not any(d in held_out and d in kept for d in documents.values())


@pytest.mark.parametrize('module', [python_docs, c4_wikipedia])
def test_synthetic_text_is_the_same_every_time(module):
  a, b = module.synthetic('train'), module.synthetic('train')
  assert a[5] == b[5] != module.synthetic('test')[5]
  assert set(a[5]) == {'text', 'span', 'index'}


def test_the_mixture_is_70_to_30_and_shows_everything():
  first = [{'from': 'c4', 'i': i} for i in range(50)]
  second = [{'from': 'wikipedia', 'i': i} for i in range(9)]
  mixture = c4_wikipedia.Mixture(first, second)
  seen = [mixture[i] for i in range(len(mixture))]
  for start in range(0, len(seen), 10):
    names = [x['from'] for x in seen[start : start + 10]]
    assert names.count('c4') == 7 and names.count('wikipedia') == 3
  assert {(x['from'], x['i']) for x in seen} == {
    *(('c4', i) for i in range(50)),
    *(('wikipedia', i) for i in range(9)),
  }
  assert [x['index'] for x in seen] == list(range(len(mixture)))


def test_unprepared_sets_name_the_command(tmp_path):
  with pytest.raises(FileNotFoundError, match='c4_wikipedia --data_dir DIR'):
    c4_wikipedia.source('train', str(tmp_path))
  with pytest.raises(ValueError, match='config.data.split'):
    c4_wikipedia.source('test', str(tmp_path))


@pytest.fixture(scope='module')
def pieces(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('pieces') / 'tiny.model')
  tokenizer.train_sentencepiece(
    text.synthetic_documents('train', 100), path, 300
  )
  return path


def test_sentencepiece_round_trip_and_words(pieces):
  tokens = tokenizer.make_tokenizer(pieces)
  document = text.synthetic_documents('test', 1)[0]
  ids = tokens.encode(document)
  assert tokens.vocab_size == 300 and ids.dtype == np.int32
  assert tokens.decode(ids) == document
  words = tokens.word_ids(ids)
  assert words[0] == 0 and words[-1] + 1 == len(document.split())
  for i, word in enumerate(document.split()):
    assert tokens.decode(ids[words == i]) == word
  special = [tokens.cls_id, tokens.mask_id, tokens.sep_id, tokens.pad_id]
  assert len(set(special)) == 4
  assert tokens.word_ids(np.array(special)).tolist() == [-1] * 4
  assert tokens.decode(special) == ''
  with pytest.raises(ValueError, match='expected UTF-8'):
    tokens.encode('\ud800')


def test_sentencepiece_words_are_masked_whole(pieces):
  document = text.synthetic_documents('test', 1)[0]
  result = masked(document, tokenizer_model=pieces, mask_rate=0.5)
  tokens = tokenizer.make_tokenizer(pieces)
  words = tokens.word_ids(result['targets'])
  chosen = result['loss_mask'] > 0
  assert 0 < chosen.sum() < 64
  for word in range(words.max() + 1):
    assert len(set(chosen[words == word])) == 1


def test_foreign_sentencepiece_model_is_refused(tmp_path):
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(text.synthetic_documents('train', 50)),
    model_prefix=str(tmp_path / 'other'),
    vocab_size=100,
    minloglevel=2,
  )
  with pytest.raises(ValueError, match='<pad>'):
    tokenizer.make_tokenizer(str(tmp_path / 'other.model'))

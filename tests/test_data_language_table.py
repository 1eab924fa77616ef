"""Texts of a table, in classes, and what predict.py takes for texts."""

import numpy as np
import pytest

from configs.perceiver_io import finetune_text
from data.language import predictions, table, tokenizer


def write(path, *lines):
  path.write_text('\n'.join(lines), encoding='utf-8')
  return str(path)


def test_texts_and_pairs(tmp_path):
  path = write(
    tmp_path / 't.csv',
    'text,text2,label,split',
    '"One, and\ntwo",é,no,train',
    'three,four,yes,train',
    'five,six,yes,test',
  )
  examples = table.source('train', path)
  assert [x['texts'] for x in examples] == [
    ['One, and\ntwo', 'é'],
    ['three', 'four'],
  ]
  assert [x['label'] for x in examples] == [0, 1]
  assert examples[0]['classes'] == ('no', 'yes')
  assert examples[1]['file_name'] == f'{path}, line 4'
  (held_out,) = table.source('validation', path)
  assert held_out['texts'] == ['five', 'six'] and held_out['label'] == 1
  out = table.preprocess(held_out, train=False, rng=None, length=12)
  length = int(out['input_mask'].sum())
  assert tokenizer.decode(out['ids'][:4]) == 'five' and length == 8
  assert out['label'] == 1 and out['label'].dtype == np.int32


def test_equal_texts_are_in_one_split(tmp_path):
  lines = [f'text {i % 40}\t{i % 2}' for i in range(400)]
  path = write(tmp_path / 't.tsv', 'text\tlabel', *lines)
  texts = [
    {x['texts'][0] for x in table.source(split, path)}
    for split in ('train', 'validation')
  ]
  assert all(texts) and not texts[0] & texts[1] and len(set.union(*texts)) == 40


@pytest.mark.parametrize(
  'lines, message',
  [
    (('text,label', 'a,'), 'line 2: expected a label, found none'),
    (('text,label', ',x'), 'line 2: expected a text, found none'),
    (('words,label', 'a,b'), r"expected the columns \['text'\]"),
    (('text,other', 'a,b'), 'text and either label or number, found'),
    (('text,label,number', 'a,b,1'), 'text and either label or number'),
    (('text,number', 'a,1', 'b,many'), "line 3: number: .* found 'many'"),
    (('text,number', 'a,nan'), "line 2: number: .* found 'nan'"),
    (('text,label', 'a,x', 'b,x'), 'two classes or more'),
    (('text,label,split', 'a,x,train', 'b,y,test'), r"none of \['y'\]"),
  ],
)
def test_tables_that_are_wrong(tmp_path, lines, message):
  path = write(tmp_path / 't.csv', *lines)
  with pytest.raises(ValueError, match=message):
    table.source('train', path)


def test_what_is_predicted(tmp_path):
  config = finetune_text.get_config('tiny')
  kind = predictions.make_predictions(config, ('no', 'yes'))
  path = write(tmp_path / 'new.jsonl', '{"text": "a"}', '{"text": "b"}')
  assert kind.expand(path) == ['a', 'b']
  path = write(tmp_path / 'new.txt', 'first', '', 'second ')
  assert kind.expand(path) == ['first', 'second ']
  assert kind.expand('Is it so?') == ['Is it so?']
  out = kind.example('abc')
  length = config.model.max_length
  expected = table.preprocess(
    {'texts': ['abc'], 'label': 0}, train=False, rng=None, length=length
  )
  assert set(out) == {'ids', 'input_mask'}
  np.testing.assert_array_equal(out['ids'], expected['ids'])
  with pytest.raises(ValueError, match='expected a text or two, not empty'):
    kind.example(' ')
  values, pictures = kind.result('abc', {'logits': np.log(np.float32([1, 3]))})
  assert values['label'] == 'yes' and not pictures
  assert values['probability'] == pytest.approx(0.75, abs=1e-6)


def test_numbers(tmp_path):
  path = write(
    tmp_path / 't.csv',
    'text,number,split',
    'bad,1.5,train',
    'good,4.5,train',
    'fair,3,test',
  )
  train = table.source('train', path)
  assert [x['label'] for x in train] == [1.5, 4.5]
  assert train[0]['num_outputs'] == 1 and 'classes' not in train[0]
  options = table.derived(train)
  assert options['task.kind'] == 'numbers'
  assert (options['task.y_mean'], options['task.y_std']) == ((3.0,), (1.5,))
  out = table.preprocess(train[1], train=False, rng=None, length=12)
  assert out['label'] == np.float32(4.5) and out['label'].dtype == np.float32
  kind = predictions.make_predictions(finetune_text.get_config('tiny'), None)
  assert kind.result('x', {'numbers': np.float32([2.5])})[0] == {'number': 2.5}

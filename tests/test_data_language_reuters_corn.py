"""Weka's texts become a table that `data.language.table` reads."""

import pytest

from data.language import reuters_corn, table

TEXT = r"""@relation x
@attribute Text string
@attribute class-att {0,1}

@data
'CORN PRICES\n  "rose", it\'s \\said',1
'Cocoa, 3,5',0
"""


def test_texts_and_splits(tmp_path, capsys):
  for split in 'train', 'test':
    path = tmp_path / f'ReutersCorn-{split}.arff'
    path.write_text(TEXT.replace('Cocoa', split))
  reuters_corn.main([f'--manual_dir={tmp_path}', f'--data_dir={tmp_path}'])
  assert 'corn.csv: 4 texts.' in capsys.readouterr().out
  train = table.source('train', str(tmp_path / 'corn.csv'))
  assert [x['texts'] for x in train] == [
    ['CORN PRICES\n  "rose", it\'s \\said'],
    ['train, 3,5'],
  ]
  assert [x['label'] for x in train] == [0, 1]
  assert train[0]['classes'] == ('corn', 'other')
  assert len(table.source('validation', str(tmp_path / 'corn.csv'))) == 2


def test_another_file_is_named(tmp_path):
  path = tmp_path / 'a.arff'
  path.write_text("@data\n'text',2\n")
  with pytest.raises(ValueError, match=r'a.arff, line 1 of @data: expected'):
    reuters_corn.read(path)

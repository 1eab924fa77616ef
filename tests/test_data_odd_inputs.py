"""More that people have: what was silently something else, a test each."""

import json
import unicodedata

import numpy as np
import PIL.Image
import pytest

from data import tables
from data.arrays import arrays, files
from data.images import folder
from data.images import predictions as image_predictions
from data.language import predictions, table


def photo(path, value=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.full((8, 8, 3), value, np.uint8)
  PIL.Image.fromarray(pixels).save(path, 'JPEG')
  return path


# What a word processor puts into a line: none of it ends one.
LONG = 'One line.\u2028The same\x0bline,\x85and\fon.'


def test_a_line_ends_where_an_editor_ends_it(tmp_path):
  path = tmp_path / 'a.jsonl'
  rows = [{'text': LONG, 'label': x} for x in ('a', 'b')]
  path.write_text('\n'.join(json.dumps(x, ensure_ascii=False) for x in rows))
  assert [x['text'] for x in tables.read(path, ('text',))] == [LONG] * 2
  path = tmp_path / 'new.txt'
  path.write_bytes(f'{LONG}\r\nThe second.\rThe third.\n\n'.encode())
  found = predictions.expand_texts(str(path))
  assert found == [LONG, 'The second.', 'The third.']


def test_a_folder_of_texts_is_no_text(tmp_path):
  (tmp_path / 'a.txt').write_text('One.\nTwo.\n')
  (tmp_path / 'b.csv').write_text('text\nThree.\n')
  (tmp_path / 'c.pdf').write_bytes(b'%PDF')
  found = predictions.expand_texts(str(tmp_path))
  assert found == ['One.', 'Two.', 'Three.']


def test_a_file_that_is_no_text(tmp_path):
  path = tmp_path / 'letter.docx'
  path.write_bytes(b'PK')
  with pytest.raises(
    ValueError, match=r'letter\.docx: expected a text, a .txt'
  ):
    predictions.expand_texts(str(path))
  with pytest.raises(ValueError, match=r'nwe\.txt: cannot be read: No such'):
    predictions.expand_texts(str(tmp_path / 'nwe.txt'))
  for text in ('Read a.txt', 'x' * 5_000, 'a\0b', 'https://a.org'):
    assert predictions.expand_texts(text) == [text]


def test_texts_twice_and_labels_that_look_the_same(tmp_path, capsys):
  path = tmp_path / 'a.csv'
  cafe = [unicodedata.normalize(form, 'café') for form in ('NFC', 'NFD')]
  rows = [
    ('one', 'spam', 'train'),
    ('two', 'Spam', 'train'),
    ('three', cafe[0], 'train'),
    ('four', cafe[1], 'train'),
    ('one', 'spam', 'test'),
    ('two', 'spam', 'test'),
  ]
  lines = [','.join(row) for row in [('text', 'label', 'split'), *rows]]
  path.write_text('\n'.join(lines), encoding='utf-8')
  table.source('train', str(path))
  said = capsys.readouterr().out
  assert "classes that differ only in case: ['Spam', 'spam']" in said
  assert f'classes that look the same: {sorted(cafe)}' in said
  assert "2 of the same texts in two splits, such as 'one'" in said
  assert "1 of the same texts in two classes, such as 'two'" in said


def test_file_names_of_a_mac(tmp_path):
  written, stored = (
    unicodedata.normalize(form, 'Käse.jpg') for form in ('NFC', 'NFD')
  )
  photo(tmp_path / stored)
  photo(tmp_path / 'b.jpg', 9)
  path = tmp_path / 'a.csv'
  path.write_text(
    f'file,label,split\n{written},cheese,train\nb.jpg,other,train\n'
  )
  assert len(folder.source('train', str(path))) == 2
  assert image_predictions.expand_images(str(path)) == [
    tmp_path / stored,
    tmp_path / 'b.jpg',
  ]


def test_pictures_beside_the_folders_are_told_of(tmp_path, capsys):
  for i, name in enumerate(('cat/a.jpg', 'dog/b.jpg', 'c.jpg', '.d.jpg')):
    photo(tmp_path / name, i)
  (tmp_path / 'notes.txt').write_text('mine')
  for split in ('train', 'validation'):
    try:
      folder.source(split, str(tmp_path))
    except ValueError:  # Two pictures may be of one split.
      continue
  said = capsys.readouterr().out
  assert 'passed by 1 files beside its folders, such as c.jpg' in said


def test_what_browsers_save(tmp_path):
  photo(tmp_path / 'a.jfif')
  (found,) = image_predictions.expand_images(str(tmp_path))
  assert found.name == 'a.jfif'


@pytest.mark.parametrize('name', ['', 'Unnamed: 0'])
def test_row_numbers_of_pandas_are_no_feature(tmp_path, capsys, name):
  path = tmp_path / 'a.csv'
  path.write_text(f'{name},width,label\n0,5,a\n1,6,a\n2,7,b\n')
  found = files.read(path)
  assert found['x'][..., 0].tolist() == [[5], [6], [7]]
  assert 'row numbers' in capsys.readouterr().out


def test_columns_in_another_order(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('width,height,label,split\n1,20,x,train\n3,40,y,train\n')
  source = arrays.source('train', str(path))
  options = {
    name.rpartition('.')[2]: value
    for name, value in arrays.derived(source).items()
    if name.startswith('data.preprocess.')
  }
  assert options['columns'] == ('width', 'height')
  options |= dict(train=False, rng=None, shift=0.0)
  expected = arrays.preprocess(source[1], **options)
  path.write_text('height,width,label,split\n20,1,x,train\n40,3,y,train\n')
  turned = arrays.source('train', str(path))
  found = arrays.preprocess(turned[1], **options)
  np.testing.assert_array_equal(found['x'], expected['x'])
  assert found['x'].tolist() == [[1], [1]]
  path.write_text('height,depth,label,split\n20,1,x,train\n40,3,y,train\n')
  other = arrays.source('train', str(path))
  with pytest.raises(ValueError, match=r"none of \['width'\], and \['depth'\]"):
    arrays.preprocess(other[0], **options)


X = np.random.default_rng(0).normal(size=(60, 5))
Y = np.arange(60) % 2


@pytest.mark.parametrize(
  'named, message',
  [
    (dict(x=1e300 * X, y=Y), r'x: expected numbers up to 3.4e\+38, found'),
    (dict(x=X, y=np.where(Y, 'a', ' ')), 'y: expected names of .*a blank'),
    (
      dict(
        x=X,
        y=np.where(np.arange(60) < 50, Y, 2),
        split=np.where(np.arange(60) < 50, 'train', 'val'),
      ),
      r"every class in the training split, found none of \['2'\]",
    ),
  ],
)
def test_arrays_that_would_train_to_nothing(tmp_path, named, message):
  np.savez(tmp_path / 'a.npz', **named)
  with pytest.raises(ValueError, match=message):
    arrays.source('train', str(tmp_path / 'a.npz'))


def test_classes_encoded_one_hot_are_told_of(tmp_path, capsys):
  path = str(tmp_path / 'a.npz')
  np.savez(path, x=X, y=np.eye(3)[np.arange(60) % 3])
  assert arrays.source('train', path).classes is None
  assert 'a single 1, as classes have' in capsys.readouterr().out

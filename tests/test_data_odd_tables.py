"""Tables and folders as people have them: the right rows, or one clear line."""

import json

import numpy as np
import PIL.Image
import pytest

from data import folders, tables
from data.images import folder
from data.images.predictions import expand_images

ROWS = [('a.jpg', 'cat'), ('b.jpg', 'dog')]


def rows_of(path):
  return [(x['file'], x['label']) for x in tables.read(path, ('file',))]


@pytest.mark.parametrize(
  'name, data',
  [
    ('crlf.csv', b'file,label\r\na.jpg,cat\r\nb.jpg,dog\r\n'),
    ('old_mac.csv', b'file;label\ra.jpg;cat\rb.jpg;dog\r'),
    ('mark.csv', b'\xef\xbb\xbffile,label\na.jpg,cat\nb.jpg,dog'),
    ('utf16.csv', 'file,label\na.jpg,cat\nb.jpg,dog\n'.encode('utf-16')),
    ('semicolons.CSV', b'File;Label\na.jpg;cat\nb.jpg;dog\n'),
    ('excel.csv', b'sep=;\r\nfile;label\r\na.jpg;cat\r\nb.jpg;dog\r\n'),
    ('quoted.csv', b'"file","label"\n"a.jpg","cat"\n"b.jpg","dog"\n'),
    ('blank.csv', b'\n\nfile,label\n\na.jpg,cat\n , \nb.jpg,dog\n\n'),
    ('spaces.csv', b' file , label \n a.jpg , cat\nb.jpg,dog '),
    ('tabs.tsv', b'file\tlabel\na.jpg\tcat\nb.jpg\tdog\n'),
    (
      'lines.jsonl',
      b'{"file": "a.jpg", "label": "cat"}\n\n{"label":"dog","file":"b.jpg"}',
    ),
  ],
)
def test_the_same_rows(tmp_path, name, data):
  (tmp_path / name).write_bytes(data)
  assert rows_of(tmp_path / name) == ROWS


def test_a_table_of_one_column_may_have_commas(tmp_path):
  path = tmp_path / 'a.tsv'
  path.write_text('text\nOne, two, three\n')
  assert tables.read(path, ('text',))[0]['text'] == 'One, two, three'


def test_a_text_may_be_a_book(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text(f'text,label\n"{"word " * 60_000}",long\n')
  assert len(tables.read(path, ('text',))[0]['text']) == 299_999


@pytest.mark.parametrize(
  'name, data, message',
  [
    (
      'twice.csv',
      b'file,label,Label\na.jpg,cat,dog\n',
      "line 1: expected columns that differ, found 'label' twice",
    ),
    (
      'open.csv',
      b'file,label\na.jpg,"cat\nb.jpg,dog\n',
      'open.csv, line 3: unexpected end of data',
    ),
    ('ragged.csv', b'file,label\na.jpg\n', 'line 2: expected 2 fields'),
    ('latin1.csv', 'file,label\na.jpg,k\xe4se'.encode('latin-1'), 'in UTF-8'),
    ('empty.csv', b'', 'expected rows, found none'),
    (
      'nul.csv',
      b'file,label\na.jpg,c\0at\n',
      'nul.csv: expected text in UTF-8, found a zero',
    ),
    ('utf16.csv', 'file,label\na,b'.encode('utf-16-le'), 'found a zero'),
    ('picture.csv', b'\x89PNG\r\n\x1a\n', 'expected text in UTF-8'),
    (
      'nested.jsonl',
      b'{"file": "a.jpg", "label": {"name": "cat"}}',
      r"nested.jsonl, line 1: label: expected a text .* found {'name': 'cat'}",
    ),
    ('array.jsonl', b'["a.jpg", "cat"]', 'line 1: expected an object'),
    ('broken.jsonl', b'{"file": "a.jpg"', 'line 1: no JSON'),
  ],
)
def test_one_line_that_names_it(tmp_path, name, data, message):
  (tmp_path / name).write_bytes(data)
  with pytest.raises(ValueError, match=message) as e:
    tables.read(tmp_path / name, ('file', 'label'))
  assert '\n' not in str(e.value) and str(tmp_path / name) in str(e.value)


def test_labels_of_a_list_are_several(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text(json.dumps({'file': 'a.wav', 'label': ['dog', 'rain']}))
  assert rows_of(path) == [('a.wav', 'dog|rain')]


def photo(path, value=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.full((8, 8, 3), value, np.uint8)
  PIL.Image.fromarray(pixels).save(path)


def test_files_as_windows_names_them(tmp_path):
  photo(tmp_path / 'cats/a.png')
  photo(tmp_path / 'dogs/b.png', 9)
  table = tmp_path / 't.csv'
  table.write_text(
    'file,label,split\ncats\\a.png,cat,train\ndogs\\b.png,dog,train\n'
  )
  assert [x['file_name'] for x in folder.source('train', str(table))] == [
    'cats/a.png',
    'dogs/b.png',
  ]


def test_a_folder_beside_those_of_splits(tmp_path):
  for i, name in enumerate(('train/cat', 'train/dog', 'val/cat', 'val/dog')):
    photo(tmp_path / name / 'a.png', i)
  photo(tmp_path / 'unlabelled' / 'a.png')
  with pytest.raises(ValueError, match=r"found \['unlabelled'\] beside"):
    folder.source('train', str(tmp_path))


def test_the_same_picture_in_two_splits_or_classes(tmp_path, capsys):
  for i, name in enumerate(('train/cat', 'train/dog', 'val/cat', 'val/dog')):
    photo(tmp_path / name / f'{i}.png', i)
  photo(tmp_path / 'val/cat/copy.png', 0)
  photo(tmp_path / 'train/dog/copy.png', 0)
  photo(tmp_path / 'train/Dog/x.png', 7)
  folder.source('train', str(tmp_path))
  said = capsys.readouterr().out
  assert '1 of the same images in two splits, such as' in said
  assert '1 of the same images in two classes, such as' in said
  assert "classes that differ only in case: ['Dog', 'dog']" in said


def test_copies_in_one_class_are_nothing_to_say(tmp_path, capsys):
  for name in ('cat/a.png', 'cat/b.png'):
    photo(tmp_path / 'train' / name)
  photo(tmp_path / 'train/dog/c.png', 5)
  photo(tmp_path / 'val/dog/d.png', 6)
  folder.source('train', str(tmp_path))
  assert 'the same' not in capsys.readouterr().out


def test_rings_and_links(tmp_path, capsys):
  root = tmp_path / 'train'
  photo(root / 'cat/a.png')
  photo(root / 'dog/b.png', 3)
  photo(tmp_path / 'val/dog/c.png', 4)
  (root / 'cat/ring').symlink_to(tmp_path, target_is_directory=True)
  (root / 'dog/gone.png').symlink_to(tmp_path / 'nowhere.png')
  found = folders.files(root / 'cat', ('.png',), recursive=True)
  assert [x.name for x in found] == ['a.png']
  assert 'passed by 1 links to folders' in capsys.readouterr().out
  train = folder.source('train', str(tmp_path))
  assert [x['file_name'] for x in train] == [
    'train/cat/a.png',
    'train/dog/b.png',
  ]
  assert 'gone.png: No such file' in capsys.readouterr().out


def test_folders_within_are_told_of(tmp_path, capsys):
  photo(tmp_path / 'a.png')
  photo(tmp_path / 'more/b.png')
  assert [x.name for x in expand_images(str(tmp_path))] == ['a.png']
  assert 'passed by 1 folders' in capsys.readouterr().out

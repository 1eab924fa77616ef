"""A folder of photographs or a table of them, as people have them."""

import numpy as np
import PIL.Image
import pytest

from data import splits, tables
from data.images import folder
from tests import odd_images


def write_photos(root, *names, size=(12, 10)):
  for i, name in enumerate(names):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new('RGB', size, (20 * i % 256, 90, 30)).save(path)


def both(root):
  """All examples, and the split of each file."""
  examples = {
    x['file_name']: (x['label'], split)
    for split in ('train', 'validation')
    for x in folder.source(split, str(root))
  }
  return examples


def test_a_folder_a_class_is_split_by_a_hash(tmp_path, capsys):
  names = [f'{c}/{i}.jpg' for c in ('b', 'a', 'c') for i in range(20)]
  write_photos(tmp_path / 'here', *names)
  found = both(tmp_path / 'here')
  assert sorted(found) == sorted(names)
  assert {n: 'abc'[label] for n, (label, _) in found.items()} == {
    n: n[0] for n in names
  }
  held_out = {n for n, (_, split) in found.items() if split == 'validation'}
  assert 5 <= len(held_out) <= 20
  said = capsys.readouterr().out
  assert f'{60 - len(held_out)} train, {len(held_out)} validation' in said
  # Elsewhere, and with more files, each name is where it was.
  write_photos(tmp_path / 'there', *names, 'a/new.jpg', 'a/sub/more.png')
  more = both(tmp_path / 'there')
  assert {n: more[n] for n in names} == found and len(more) == 62


def test_hash_takes_a_fifth():
  names = [f'class/{i}.jpg' for i in range(5_000)]
  share = np.mean([splits.by_hash(name) == 'validation' for name in names])
  assert abs(share - 0.2) < 0.02
  # The first 64 bits of SHA-256: the same wherever it runs.
  held_out = [i for i in range(30) if splits.by_hash(names[i]) == 'validation']
  assert held_out == [2, 5, 11, 15, 19, 22, 23, 28]


@pytest.mark.parametrize('name', ['validation', 'val', 'Valid', 'test'])
def test_splits_may_be_folders(tmp_path, name):
  write_photos(tmp_path, 'train/a/0.jpg', 'train/b/1.jpg', f'{name}/b/2.jpg')
  assert both(tmp_path) == {
    'train/a/0.jpg': (0, 'train'),
    'train/b/1.jpg': (1, 'train'),
    f'{name}/b/2.jpg': (1, 'validation'),
  }
  with pytest.raises(ValueError, match="config.data.split: .*'holdout'"):
    folder.source('holdout', str(tmp_path))


def test_classes_may_be_called_like_splits(tmp_path):
  names = [f'{c}/{i}.jpg' for c in ('train', 'tram') for i in range(9)]
  write_photos(tmp_path, *names)
  assert {x['classes'] for x in folder.source('train', str(tmp_path))} == {
    ('train', 'tram')
  }


def test_litter_and_broken_files_are_passed_by(tmp_path, capsys):
  names = [f'{c}/{i}.JPG' for c in 'ab' for i in range(10)]
  write_photos(tmp_path, *names)
  for name in ('a/._0.JPG', 'a/.DS_Store', 'b/Thumbs.db', 'b/.cache/x.jpg'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'x')
  (tmp_path / '.git').mkdir()
  half = odd_images.wrong()['half.jpg'][0]
  for i in range(3):
    (tmp_path / f'a/half_{i}.jpg').write_bytes(half)
  assert len(both(tmp_path)) == 20
  said = capsys.readouterr().out
  assert all(f'Left out: {tmp_path}/a/half_{i}.jpg' in said for i in range(3))


def test_tables(tmp_path):
  names = [f'photos/{i}.png' for i in range(6)]
  write_photos(tmp_path, *names)
  rows = ['\ufeffFile;Label ; split']
  rows += [f'{n};{10 - i % 2 * 8};train' for i, n in enumerate(names[:4])]
  rows += [f'{n};2;val' for n in names[4:]]
  (tmp_path / 'labels.csv').write_text('\r\n'.join(rows), encoding='utf-8')
  found = both(tmp_path / 'labels.csv')
  assert [found[n] for n in names] == [
    *((1, 'train'), (0, 'train'), (1, 'train'), (0, 'train')),
    *((0, 'validation'), (0, 'validation')),
  ]
  (example, *_) = folder.source('train', str(tmp_path / 'labels.csv'))
  assert example['classes'] == ('2', '10')  # numbers in their order


def test_groups_stay_together(tmp_path):
  names = [f'{i}.png' for i in range(60)]
  write_photos(tmp_path, *names)
  lines = [f'{n}\t{i % 2}\tpatient {i // 6}' for i, n in enumerate(names)]
  text = '\n'.join(['file\tlabel\tgroup', *lines])
  (tmp_path / 'labels.tsv').write_text(text)
  found = both(tmp_path / 'labels.tsv')
  of_group = [
    {found[n][1] for n in names[g * 6 : g * 6 + 6]} for g in range(10)
  ]
  assert all(len(x) == 1 for x in of_group)
  assert len(set.union(*of_group)) == 2


@pytest.mark.parametrize(
  'text, message',
  [
    (
      'file\na.png\n',
      r"columns file and either label or number, found \['file'\]",
    ),
    ('file,label\na.png\n', r'line 2: expected 2 fields .*found 1'),
    ('file,label\na.png,\n', 'line 2: expected a label, found none'),
    ('file,label\na.png,x\na.png,y\n', 'line 3: a.png is in line 2, too'),
    ('file,label\na.png,x\n', 'expected two classes or more'),
    ('file,label\n', 'expected rows, found none'),
    ('file,label,split\na.png,x,train\nb.png,y,', 'line 3: expected a split'),
    ('file,label,split\nno.png,x,train\nb.png,y,train', r"none of \['x'\]"),
  ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
  write_photos(tmp_path, 'a.png', 'b.png')
  (tmp_path / 't.csv').write_text(text)
  with pytest.raises(ValueError, match=message) as error:
    folder.source('train', str(tmp_path / 't.csv'))
  assert 't.csv' in str(error.value)


def test_json_lines(tmp_path):
  path = tmp_path / 't.jsonl'
  path.write_text(
    '{"Text": " a\\n", "label": 3}\n\n{"text": "b", "label": null}'
  )
  rows = tables.read(path, ('text', 'label'))
  assert [(r['text'], r['label'], r['line']) for r in rows] == [
    ('a', '3', '1'),
    ('b', '', '3'),
  ]
  for text, message in (
    ('{"text": ', 'line 1: no JSON'),
    ('[1]', 'expected an object'),
    (
      '{"text": "a", "label": 1}\n{"text": "b"}',
      'line 2: expected the columns',
    ),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
      tables.read(path, ('text', 'label'))


@pytest.mark.parametrize(
  'data_dir, error, message',
  [
    (None, ValueError, 'config.data.data_dir: .* found None'),
    ('nowhere', FileNotFoundError, 'neither at .*nowhere'),
    ('.', FileNotFoundError, 'expected a folder for each class, found none'),
    ('one', ValueError, r"two classes or more, found \['a'\]"),
    ('empty', ValueError, 'empty/b: expected images .*found none'),
  ],
)
def test_folders_that_are_wrong(tmp_path, data_dir, error, message):
  (tmp_path / 'bare').mkdir()
  write_photos(tmp_path / 'one', 'a/0.png')
  write_photos(tmp_path / 'empty', 'a/0.png')
  (tmp_path / 'empty/b').mkdir()
  if data_dir == '.':
    data_dir = 'bare'
  where = None if data_dir is None else str(tmp_path / data_dir)
  with pytest.raises(error, match=message):
    folder.source('train', where)


def test_preprocess_shows_a_photo_upright(tmp_path):
  for i in (1, 3, 6, 8):
    for c in 'ab':
      path = tmp_path / 'train' / c / f'{i}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(odd_images.with_orientation('PNG', i))
  (tmp_path / 'val').mkdir()
  (tmp_path / 'val/a').mkdir()
  (tmp_path / 'val/a/x.png').write_bytes(odd_images.with_orientation('PNG', 1))
  outs = [
    folder.preprocess(x, train=False, rng=None, image_size=8)['image']
    for x in folder.source('train', str(tmp_path))
  ]
  assert len(outs) == 8 and outs[0].shape == (8, 8, 3)
  for out in outs[1:]:
    np.testing.assert_array_equal(out, outs[0])


def test_numbers_of_a_table(tmp_path):
  write_photos(tmp_path, 'a.png', 'b.png', 'c.png')
  table = tmp_path / 't.csv'
  table.write_text(
    'file,number,split\na.png,1.5,train\nb.png,2.5,train\nc.png,4,test\n'
  )
  train = folder.source('train', str(table))
  assert [(x['label'], x['num_outputs']) for x in train] == [(1.5, 1), (2.5, 1)]
  options = folder.derived(train)
  assert options['task.kind'] == 'numbers'
  assert (options['task.y_mean'], options['task.y_std']) == ((2.0,), (0.5,))
  out = folder.preprocess(train[1], train=False, rng=None, image_size=8)
  assert out['label'] == 2.5 and out['label'].dtype == np.float32
  table.write_text('file,number\na.png,1\nb.png,many\n')
  with pytest.raises(ValueError, match="line 3: number: .* found 'many'"):
    folder.source('train', str(table))
  table.write_text('file,number,label\na.png,1,x\n')
  with pytest.raises(ValueError, match='file and either label or number'):
    folder.source('train', str(table))

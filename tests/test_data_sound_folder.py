"""Sounds of users by folder and by table, one label or several."""

import numpy as np
import pytest

from data.sound import folder
from tests.test_data_sound_predictions import write_wave

pytest.importorskip('av')


def write(root, *names):
  for i, name in enumerate(names):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wave(path, np.full(1_000, 100 * (i + 1)))


def test_a_folder_a_class_and_splits(tmp_path, capsys):
  write(tmp_path, 'train/cat/a.wav', 'train/dog/b.WAV', 'test/dog/c.wav')
  (tmp_path / 'train/dog/broken.wav').write_bytes(b'no sound')
  (tmp_path / 'train/dog/._b.wav').write_bytes(b'litter')
  train = folder.source('train', str(tmp_path))
  assert [x['labels'].tolist() for x in train] == [[0], [1]]
  assert train[0]['classes'] == ('cat', 'dog')
  assert train[1]['audio'].shape == (1_000,) and train[1]['audio'][500] == 200
  said = capsys.readouterr().out
  assert 'broken.wav' in said and '1 of 3 sounds cannot be read' in said
  (test,) = folder.source('validation', str(tmp_path))
  assert test['labels'].tolist() == [1]


def test_several_labels_of_a_table(tmp_path):
  write(tmp_path, 'a.wav', 'b.wav')
  table = tmp_path / 't.csv'
  table.write_text('file,label,split\na.wav,rain|dog,train\nb.wav,dog,train\n')
  examples = folder.source('train', str(table))
  assert [x['labels'].tolist() for x in examples] == [[1, 0], [0]]
  out = folder.preprocess(
    examples[0],
    train=False,
    rng=None,
    num_classes=2,
    rate=folder.RATE,
    num_samples=400,
    num_clips=2,
    spectrogram=None,
    spec_augment=None,
    num_frames=None,
  )
  assert out['labels'].tolist() == [1, 1] and out['audio'].shape == (2, 400)


@pytest.mark.parametrize(
  'text, message',
  [
    ('file,label\na.wav,dog\n', 'two classes or more'),
    ('file,number\na.wav,1\n', 'expected a column label, found numbers'),
    ('file\na.wav\n', 'either label or number'),
    (
      'file,label,split\nx.wav,a,train\ny.wav,b,train\n',
      'none of the sounds can be read; the first: .*x.wav',
    ),
  ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
  write(tmp_path, 'a.wav')
  (tmp_path / 't.csv').write_text(text)
  with pytest.raises(ValueError, match=message):
    folder.source('train', str(tmp_path / 't.csv'))

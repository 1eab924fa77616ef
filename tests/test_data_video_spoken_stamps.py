"""Stamps and their spoken names become clips with two labels."""

import numpy as np
import PIL.Image
import pytest

pytest.importorskip('av')

from data.video import folder, spoken_stamps  # noqa: E402
from tests.test_data_sound_predictions import write_wave  # noqa: E402


def test_clips_of_two_languages_each(tmp_path, capsys):
  for stamp in ('animals/cat', 'food/fruit/pear'):
    path = tmp_path / f'stamps/{stamp}.png'
    path.parent.mkdir(parents=True)
    PIL.Image.new('RGBA', (200, 50), (250, 0, 0, 255)).save(path)
    for i, language in enumerate(('fr', 'ru', 'es', 'nl')):
      sound = path.with_name(f'{path.stem}_desc_{language}.ogg')
      write_wave(sound, np.full(8_000, 900 + i + len(stamp)))
  words = [f'--manual_dir={tmp_path}/stamps', f'--data_dir={tmp_path}']
  spoken_stamps.main(words)
  assert 'spoken_stamps.csv: 4 clips.' in capsys.readouterr().out
  table = str(tmp_path / 'spoken_stamps.csv')
  found = []
  for split in ('train', 'validation'):
    try:
      found.append(folder.source(split, table))
    except ValueError:  # Two groups may be of one split.
      continue
  for examples in found:
    stamps = {x['file_name'].rpartition('_')[0] for x in examples}
    assert len(examples) == 2 * len(stamps)
    for x in examples:
      labels = {x['classes'][k] for k in x['labels'].tolist()}
      assert len(labels) == 2
      assert len(labels & set(spoken_stamps.KINDS)) == 1
      assert len(labels & set(spoken_stamps.LANGUAGES)) == 1
      assert 10 <= len(x['video']) <= 16 and len(x['audio']) >= 23_000
  assert found


def test_a_recording_is_taken_once(tmp_path, capsys):
  (tmp_path / 'town').mkdir()
  for name in 'house-1', 'house-2':
    PIL.Image.new('RGB', (8, 8), 'red').save(tmp_path / f'town/{name}.png')
    for language in ('fr', 'ru'):
      sound = tmp_path / f'town/{name}_desc_{language}.ogg'
      write_wave(sound, np.full(8_000, 900 if language == 'fr' else 800))
  spoken_stamps.main([f'--manual_dir={tmp_path}', f'--data_dir={tmp_path}'])
  assert 'spoken_stamps.csv: 2 clips.' in capsys.readouterr().out


def test_another_folder_is_said(tmp_path):
  with pytest.raises(ValueError, match='expected stamps with spoken names'):
    spoken_stamps.main([f'--manual_dir={tmp_path}', f'--data_dir={tmp_path}'])

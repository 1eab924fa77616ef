"""Syllables and their recordings become clips whose label is the vowel."""

import numpy as np
import pytest

pytest.importorskip('av')

from data.video import folder, spoken_syllables  # noqa: E402
from tests.test_data_sound_predictions import write_wave  # noqa: E402

LIST = """<klettres><language code="xx"><syllables>
<sound name="BA" file="xx/ba.ogg"/>
<sound name="{accented}" file="xx/be.ogg"/>
<sound name="B" file="xx/ba.ogg"/>
<sound name="BAI" file="xx/ba.ogg"/>
<sound name="STOP" file="xx/ba.ogg"/>
<sound name="BO" file="xx/missing.ogg"/>
</syllables></language></klettres>"""


def test_clips_of_two_syllables(tmp_path, monkeypatch, capsys):
  (tmp_path / 'xx').mkdir()
  (tmp_path / 'xx/sounds.xml').write_text(
    LIST.format(accented='BÉ'), encoding='utf-8'
  )
  for name, level in (('ba', 900), ('be', 500)):
    write_wave(tmp_path / f'xx/{name}.ogg', np.full(8_000, level))
  monkeypatch.setattr(spoken_syllables, 'LANGUAGES', ('xx',))
  words = [f'--manual_dir={tmp_path}', f'--data_dir={tmp_path}']
  spoken_syllables.main(words)
  assert 'spoken_syllables.csv: 6 clips.' in capsys.readouterr().out
  table = tmp_path / 'spoken_syllables.csv'
  text = table.read_text(encoding='utf-8')
  assert text.count(',A,xx BA\n') == 3 and text.count(',E,xx BÉ\n') == 3
  lines = [line.replace('group', 'split') for line in text.splitlines()]
  lines = [
    line.replace('xx BA', 'train').replace('xx BÉ', 'train') for line in lines
  ]
  table.write_text('\n'.join(lines), encoding='utf-8')
  examples = folder.source('train', str(table))
  assert [x['labels'].tolist() for x in examples] == [[0]] * 3 + [[1]] * 3
  for x, level in zip(examples, [900] * 3 + [500] * 3, strict=True):
    assert abs(np.median(x['audio']) - level) < 50
  # Of the pictures no two are the same.
  assert len({x['video'][0] for x in examples}) == 6


def test_a_syllable_is_written_in_black_on_white():
  rng = np.random.default_rng(0)
  sizes = set()
  for _ in range(8):
    picture = spoken_syllables.written('BÄR', rng)
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    assert picture.min() < 40 and (picture[[0, -1]] == 255).all()
    rows = np.flatnonzero((picture < 128).any(axis=(1, 2)))
    sizes.add(int(np.ptp(rows)))
  assert len(sizes) > 3

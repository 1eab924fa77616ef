"""Written and spoken syllables become clips with the language as label."""

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('matplotlib')

from data.video import folder, spoken_syllables  # noqa: E402
from tests.test_data_sound_predictions import write_wave  # noqa: E402

LISTING = """<!-- a comment before -->
<klettres><language code="{language}"><alphabet>
{sounds}
</alphabet></language></klettres>
"""


def write_listing(root, language, **texts):
  """LANGUAGE/sounds.xml of texts by the names of their files."""
  sounds = '\n'.join(
    f'<sound name="{text}" file="{language}/alpha/{name}.ogg" />'
    for name, text in texts.items()
  )
  path = root / language / 'sounds.xml'
  path.parent.mkdir()
  path.write_text(LISTING.format(language=language, sounds=sounds), 'utf-8')
  (root / language / 'alpha').mkdir()


def test_clips_show_what_is_said(tmp_path, capsys):
  root = tmp_path / 'sounds'
  root.mkdir()
  write_listing(root, 'en', a='A', dog='dog', gone='B', again='A')
  write_listing(root, 'ru', a='Ж', clay='𒀀', broken='Я')
  for name in ('en/alpha/a', 'en/alpha/dog', 'ru/alpha/a', 'ru/alpha/clay'):
    write_wave(root / f'{name}.ogg', np.full(8_000, 900 + len(name)))
  (root / 'ru/alpha/broken.ogg').write_bytes(b'no sound')
  spoken_syllables.main([f'--manual_dir={root}', f'--data_dir={tmp_path}'])
  # No font has the cuneiform sign; a recording that is not there is no fault.
  assert '3 clips; 2 recordings left out' in capsys.readouterr().out
  table = tmp_path / 'spoken_syllables.csv'
  assert table.read_text('utf-8').splitlines() == [
    'file,label',
    'spoken_syllables/en_alpha_a.mp4,en',
    'spoken_syllables/en_alpha_dog.mp4,en',
    'spoken_syllables/ru_alpha_a.mp4,ru',
  ]
  examples = folder.read_file(
    folder.Part(str(tmp_path / 'spoken_syllables/en_alpha_dog.mp4'))
  )
  assert len(examples['video']) > 5 and len(examples['audio']) > 20_000


@pytest.mark.parametrize('text', ['i', 'A', 'щ', 'a long word of many letters'])
def test_ink_lies_in_the_middle_and_within(text):
  font, drawn = spoken_syllables._font()
  assert drawn.issuperset(text)
  ink = np.asarray(spoken_syllables.written(text, font)).min(axis=2) < 128
  rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
  side = ink.shape[0]
  assert rows[0] > 0 and columns[0] > 0
  assert rows[-1] < side - 1 and columns[-1] < side - 1
  assert abs(columns[0] + columns[-1] - side) <= 4


def test_another_folder_is_said(tmp_path):
  with pytest.raises(SystemExit, match=r'expected LANGUAGE/sounds\.xml'):
    spoken_syllables.main(
      [f'--manual_dir={tmp_path}', f'--data_dir={tmp_path}']
    )


def test_a_broken_list_of_sounds_is_named(tmp_path):
  (tmp_path / 'en').mkdir()
  (tmp_path / 'en/sounds.xml').write_text('<klettres><sound')
  with pytest.raises(SystemExit, match=r'en/sounds\.xml: expected XML, found'):
    list(spoken_syllables.recordings(tmp_path))

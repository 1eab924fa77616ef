"""Syllables that are written and said, as a user's clips: KDE's KLettres.

  apt-get install klettres-data && pip install -e '.[demo,media]'
  python -m data.prepare video.spoken_syllables --data_dir=. \
    --manual_dir=/usr/share/klettres

writes ./spoken_syllables/*.mp4 and ./spoken_syllables.csv with the columns
file, label and group. The label is the syllable's vowel, which picture and
sound tell, each for itself. A recording comes in three clips; in each the
syllable is written in another font, size, place and angle. All clips of a
syllable in a language are of one split.
"""

import csv
import os
import pathlib
import unicodedata
import xml.etree.ElementTree

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from data import tfds_source

# Those that write vowels in Latin letters, and say them nearly as written.
LANGUAGES = 'cs da de es fr hu it lt nb nds nl pt_BR'.split()
VOWELS = 'AEIOU'
_CLIPS, _LONGEST = 3, 3  # of a recording; letters
_SIDE, _FPS, _RATE = 96, 5, 48_000
_FONTS = (
  *('DejaVuSans', 'DejaVuSans-Bold', 'DejaVuSans-Oblique', 'DejaVuSansMono'),
  *('DejaVuSerif', 'DejaVuSerif-Italic', 'STIXGeneral', 'STIXGeneralItalic'),
)


def main(argv):
  from data.video import media  # an optional extra

  args = tfds_source.preparation_parser(
    __name__, 'Writes spoken_syllables.csv.', manual_dir="KLettres' sounds"
  ).parse_args(argv)
  data_dir = pathlib.Path(os.path.expanduser(args.data_dir))
  folder = data_dir / 'spoken_syllables'
  folder.mkdir(exist_ok=True)
  rng, rows = np.random.default_rng(0), []
  for language, syllable, vowel, sound in syllables(args.manual_dir):
    try:
      audio = media.read_audio(str(sound), rate=_RATE)
    except media.MediaError as e:
      print(f'Left out: {e}')
      continue
    num_frames = max(1, round(len(audio) / _RATE * _FPS))
    for i in range(_CLIPS):
      name = f'{folder.name}/{language}_{syllable}_{sound.stem}_{i}.mp4'
      media.write_video(
        str(data_dir / name),
        [written(syllable, rng)] * num_frames,
        fps=_FPS,
        audio=audio,
      )
      rows.append((name, vowel, f'{language} {syllable}'))
  path = data_dir / 'spoken_syllables.csv'
  with open(path, 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(('file', 'label', 'group'))
    writer.writerows(rows)
  print(f'{path}: {len(rows)} clips.')


def syllables(root: str) -> list[tuple[str, str, str, pathlib.Path]]:
  """(language, syllable, its vowel, recording), of those that have one.

  Raises:
    FileNotFoundError: a language has no list of sounds.
  """
  found = []
  for language in LANGUAGES:
    path = pathlib.Path(root, language, 'sounds.xml')
    for sound in xml.etree.ElementTree.parse(path).iter('sound'):
      name = sound.get('name').upper()
      plain = unicodedata.normalize('NFD', name)
      letters = [x for x in plain if not unicodedata.combining(x)]
      vowels = [x for x in letters if x in VOWELS]
      recording = pathlib.Path(root, sound.get('file'))
      if len(vowels) == 1 and len(letters) <= _LONGEST and recording.exists():
        found.append((language, name, vowels[0], recording))
  return found


def written(syllable: str, rng: np.random.Generator) -> np.ndarray:
  """A picture of it: uint8 [96, 96, 3]."""
  font = PIL.ImageFont.truetype(
    tfds_source.package_file(
      'matplotlib', f'mpl-data/fonts/ttf/{rng.choice(_FONTS)}.ttf', extra='demo'
    ),
    int(rng.integers(32, 46)),
  )
  mask = PIL.Image.new('L', (_SIDE, _SIDE))
  place = tuple((_SIDE / 2 + rng.uniform(-6, 6, 2)).tolist())
  draw = PIL.ImageDraw.Draw(mask)
  draw.text(place, syllable, 255, font, anchor='mm')
  mask = np.asarray(mask.rotate(rng.uniform(-12, 12), PIL.Image.BICUBIC))
  return np.repeat(255 - mask[..., None], 3, axis=2)

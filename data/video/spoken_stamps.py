"""Stamps of Tux Paint, each shown while its name is said, as a user's clips.

  apt-get install tuxpaint-stamps-default
  python -m data.prepare video.spoken_stamps --data_dir=. \
    --manual_dir=/usr/share/tuxpaint/stamps

writes ./spoken_stamps/*.mp4 and ./spoken_stamps.csv with the columns file,
label and group. A clip has two labels, what kind of thing is seen and in which
language it is named, `animals|fr`: neither picture nor sound tells both. Every
stamp is said in two languages, and all its clips are of one split; a recording
that several stamps share is taken once.
"""

import csv
import hashlib
import os
import pathlib

import numpy as np
import PIL.Image

from data import image_files, tfds_source

KINDS = ('animals', 'food', 'plants', 'seasonal', 'symbols', 'town')
LANGUAGES = ('bg', 'ca', 'es', 'fr', 'ro', 'ru')
_SIDE, _FPS, _RATE, _PER_STAMP = 96, 5, 48_000, 2


def main(argv):
  args = tfds_source.preparation_parser(
    __name__, 'Writes spoken_stamps.csv.', manual_dir="Tux Paint's stamps"
  ).parse_args(argv)
  root = pathlib.Path(args.manual_dir)
  data_dir = pathlib.Path(os.path.expanduser(args.data_dir))
  folder = data_dir / 'spoken_stamps'
  folder.mkdir(exist_ok=True)
  rows, heard = [], set()
  for kind in KINDS:
    for picture in sorted((root / kind).rglob('*.png')):
      stamp = picture.relative_to(root).with_suffix('').as_posix()
      for language in said_in(picture, stamp):
        sound = _sound(picture, language)
        recording = hashlib.sha256(sound.read_bytes()).digest()
        if recording in heard:
          continue
        heard.add(recording)
        name = f'{stamp.replace("/", "_")}_{language}.mp4'
        _write(folder / name, picture, sound)
        rows.append((f'{folder.name}/{name}', f'{kind}|{language}', stamp))
  if not rows:
    raise ValueError(f'{root}: expected stamps with spoken names, found none.')
  path = data_dir / 'spoken_stamps.csv'
  with open(path, 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(('file', 'label', 'group'))
    writer.writerows(rows)
  print(f'{path}: {len(rows)} clips.')


def said_in(picture: pathlib.Path, stamp: str) -> list[str]:
  """Two of the languages that there are, by a hash of the stamp's name."""
  present = [x for x in LANGUAGES if _sound(picture, x).exists()]
  return sorted(
    present, key=lambda x: hashlib.sha256(f'{stamp} {x}'.encode()).digest()
  )[:_PER_STAMP]


def _sound(picture: pathlib.Path, language: str) -> pathlib.Path:
  return picture.with_name(f'{picture.stem}_desc_{language}.ogg')


def _write(path: pathlib.Path, picture: pathlib.Path, sound: pathlib.Path):
  from data.video import media  # an optional extra

  image = image_files.read_image(picture)
  image.thumbnail((_SIDE, _SIDE))
  frame = PIL.Image.new('RGB', (_SIDE, _SIDE), 'white')
  frame.paste(image, ((_SIDE - image.width) // 2, (_SIDE - image.height) // 2))
  audio = media.read_audio(str(sound), rate=_RATE)
  num_frames = max(1, round(len(audio) / _RATE * _FPS))
  media.write_video(
    str(path), [np.asarray(frame)] * num_frames, fps=_FPS, audio=audio
  )

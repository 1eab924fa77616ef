"""Letters and syllables, each written while it is said, as a user's clips.

  apt-get install klettres-data
  python -m data.prepare video.spoken_syllables --data_dir=. \
    --manual_dir=/usr/share/klettres

writes ./spoken_syllables/*.mp4 and ./spoken_syllables.csv with the columns file
and label, the language. Both picture and sound tell it, as most of AudioSet's
labels are seen and heard: the voice nearly always, the letters where they are
of its script. Letters are drawn with Matplotlib's font DejaVu Sans; what it
lacks and sounds that FFmpeg does not read are left out.
"""

import csv
import os
import pathlib
import xml.etree.ElementTree
from collections.abc import Iterator

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from data import tfds_source
from data.video import spoken_stamps

_SIDE = 96


def main(argv):
  from data.video import media  # an optional extra

  args = tfds_source.preparation_parser(
    __name__, 'Writes spoken_syllables.csv.', manual_dir="KLettres' sounds"
  ).parse_args(argv)
  data_dir = pathlib.Path(os.path.expanduser(args.data_dir))
  folder = data_dir / 'spoken_syllables'
  folder.mkdir(exist_ok=True)
  font, drawn = _font()
  rows, left_out = [], 0
  for language, text, sound in recordings(pathlib.Path(args.manual_dir)):
    name = f'{language}_{sound.parent.name}_{sound.stem}.mp4'
    if not text or not drawn.issuperset(text):
      left_out += 1
      continue
    try:
      spoken_stamps.write_clip(folder / name, written(text, font), sound)
    except media.MediaError:
      left_out += 1
      continue
    rows.append((f'{folder.name}/{name}', language))
  if not rows:
    raise SystemExit(
      f'{args.manual_dir}: expected LANGUAGE/sounds.xml and the recordings '
      'that it names, found none.'
    )
  path = data_dir / 'spoken_syllables.csv'
  with open(path, 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(('file', 'label'))
    writer.writerows(rows)
  print(f'{path}: {len(rows)} clips; {left_out} recordings left out.')


def recordings(root: pathlib.Path) -> Iterator[tuple[str, str, pathlib.Path]]:
  """(language, text, file) of every recording that is there, once.

  Raises:
    SystemExit: naming a list of sounds that is no XML.
  """
  for listing in sorted(root.glob('*/sounds.xml')):
    seen = set()
    try:
      sounds = xml.etree.ElementTree.parse(listing)
    except xml.etree.ElementTree.ParseError as e:
      raise SystemExit(f'{listing}: expected XML, found {e}.') from None
    for sound in sounds.iter('sound'):
      path = root / sound.get('file', '')
      if path.is_file() and path not in seen:
        seen.add(path)
        yield listing.parent.name, sound.get('name', '').strip(), path


def written(text: str, font: PIL.ImageFont.FreeTypeFont) -> PIL.Image.Image:
  """Black on white, in the middle, as large as fits."""
  frame = PIL.Image.new('RGB', (_SIDE, _SIDE), 'white')
  left, top, right, bottom = font.getbbox(text)
  scale = 0.8 * _SIDE / max(right - left, bottom - top)
  font = font.font_variant(size=max(1, round(font.size * min(1.0, scale))))
  PIL.ImageDraw.Draw(frame).text(
    (_SIDE / 2, _SIDE / 2), text, fill='black', font=font, anchor='mm'
  )
  return frame


def _font() -> tuple[PIL.ImageFont.FreeTypeFont, set[str]]:
  """A font of 48 pixels, and what it can draw."""
  import matplotlib.font_manager  # an optional extra
  import matplotlib.ft2font

  path = matplotlib.font_manager.findfont('DejaVu Sans')
  drawn = {chr(x) for x in matplotlib.ft2font.FT2Font(path).get_charmap()}
  return PIL.ImageFont.truetype(path, 48), drawn

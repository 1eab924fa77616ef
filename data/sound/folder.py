"""Your own sounds: a folder a class, or a table.

As data/images/folder.py, with files of sound, or of video, whose sound is
taken. Of a table a label may be several, `dog|rain`, and the columns start and
end, in seconds, may tell parts of files. All is decoded when the data set is
opened, and kept in memory: 115 MB an hour. What cannot be read is left out,
named and counted.
"""

from typing import Any

from data import clips, folders
from data.sound import audioset, klettres
from data.tables import Part

RATE = klettres.RATE
_SUFFIXES = (*folders.SOUND_SUFFIXES, *folders.VIDEO_SUFFIXES)

preprocess = audioset.preprocess


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """`audio` int16 [S] at RATE, `labels` int32 [any number], `file_name` and
  `classes`, all names sorted.

  Raises:
    FileNotFoundError, ValueError: naming what cannot be used.
  """
  return clips.labelled(
    split, data_dir, suffixes=_SUFFIXES, what='sounds', read=read_file
  )


def read_file(part: Part) -> dict[str, Any]:
  """`audio` int16 [S].

  Raises:
    ValueError: naming the file, which is broken or silent.
  """
  from data.video import media  # an optional extra

  path, start, end = part
  return {'audio': media.read_audio(str(path), rate=RATE, start=start, end=end)}


def synthetic(split: str, num_examples: int = 40) -> list[dict[str, Any]]:
  """Those of `klettres`, in four classes."""
  classes = ('bell', 'dog', 'rain', 'wind')
  return [
    x | {'labels': x['labels'] % 4, 'file_name': f'{i}', 'classes': classes}
    for i, x in enumerate(klettres.synthetic(split, num_examples))
  ]

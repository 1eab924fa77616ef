"""Your own sounds: a folder a class, or a table.

As data/images/folder.py, with files of sound, or of video, whose sound is
taken. Of a table a label may be several, `dog|rain`. All is decoded when the
data set is opened, and kept in memory: 115 MB an hour. What cannot be read is
left out, named and counted.
"""

import concurrent.futures
import functools
import os
import pathlib
from typing import Any

import numpy as np

from data import folders, splits
from data.images import folder
from data.sound import audioset, klettres

RATE = klettres.RATE
_SUFFIXES = (*folders.SOUND_SUFFIXES, *folders.VIDEO_SUFFIXES)

preprocess = audioset.preprocess


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """`audio` int16 [S] at RATE, `labels` int32 [any number], `file_name` and
  `classes`, all names sorted.

  Raises:
    FileNotFoundError, ValueError: naming what cannot be used.
  """
  root, examples = folder.labelled_files(data_dir, _SUFFIXES, 'sounds')
  if any(isinstance(x, float) for pairs in examples.values() for _, x in pairs):
    raise ValueError(f'{root}: expected a column label, found numbers.')
  classes = folder.sort_names(
    {
      name
      for pairs in examples.values()
      for _, label in pairs
      for name in _names(label)
    }
  )
  if len(classes) < 2:
    raise ValueError(
      f'{root}: expected two classes or more, found {list(classes)}.'
    )
  split = splits.called(split, examples)
  pairs = examples[split]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    sounds = list(pool.map(_read, (path for path, _ in pairs)))
  found = [
    {
      'audio': sound,
      'labels': np.int32([classes.index(name) for name in _names(label)]),
      'file_name': str(path),
      'classes': classes,
    }
    for (path, label), sound in zip(pairs, sounds, strict=True)
    if isinstance(sound, np.ndarray)
  ]
  broken = [sound for sound in sounds if isinstance(sound, str)]
  for message in broken[:20]:
    folders.say_once(f'Left out: {message}')
  if broken:
    folders.say_once(
      f'{root}: {len(broken)} of {len(sounds)} sounds cannot be read.'
    )
  if not found:
    raise ValueError(f'{root}: no sound can be read; the first: {broken[0]}')
  return found


def synthetic(split: str, num_examples: int = 40) -> list[dict[str, Any]]:
  """Those of `klettres`, in four classes."""
  classes = ('bell', 'dog', 'rain', 'wind')
  return [
    x | {'labels': x['labels'] % 4, 'file_name': f'{i}', 'classes': classes}
    for i, x in enumerate(klettres.synthetic(split, num_examples))
  ]


def _names(label: str) -> list[str]:
  return [name.strip() for name in label.split('|') if name.strip()]


def _read(path: pathlib.Path) -> np.ndarray | str:
  """Samples, or what is wrong."""
  try:
    return _samples(path, path.stat().st_mtime_ns)
  except (ValueError, OSError) as e:
    text = ' '.join(str(e).split())
    return text if str(path) in text else f'{path}: {text}'


@functools.lru_cache(None)
def _samples(path: pathlib.Path, modified: int) -> np.ndarray:
  del modified  # The file is still the same.
  from data.video import media  # an optional extra

  return media.read_audio(str(path), rate=RATE)

"""Letters and syllables spoken in 20 languages, from KDE's KLettres.

1,836 recordings, 0.2 to 8 seconds long, labelled by their language. Debian's
`klettres-data` has them in /usr/share/klettres:

  apt-get install klettres-data && pip install -e '.[media]'

A fifth of the recordings, by a checksum of their bytes, is the test split; no
recording is in both. (Each language has one speaker or few: it is languages as
these people speak them that a model learns to tell apart.)

'mixtures/train' and 'mixtures/test' are sums of two recordings of different
languages, both labels apply.
"""

import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import tfds_source
from data.language import text
from data.sound import audioset

preprocess = audioset.preprocess
FOLDER = '/usr/share/klettres'
RATE = 16_000
CLASSES = (
  'ar cs da de en en_GB es fr he hu it lt ml nb nds nl pt_BR ru tn uk'
).split()
_MIXTURES_PER_RECORDING = {'train': 20, 'test': 1}


class Klettres(tfds.core.GeneratorBasedBuilder):
  """Writes every recording."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'A fifth of the recordings tests.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Letters and syllables spoken in 20 languages.',
      features=tfds.features.FeaturesDict(
        {
          'id': tfds.features.Text(),
          'audio': tfds.features.Tensor(shape=(None,), dtype=np.int16),
          'labels': tfds.features.Tensor(shape=(None,), dtype=np.int32),
        }
      ),
      homepage='https://apps.kde.org/klettres',
    )

  def _split_generators(self, dl_manager):
    splits = {'train': [], 'test': []}
    for path in recordings(pathlib.Path(FOLDER)):
      split = 'train' if zlib.crc32(path.read_bytes()) % 5 else 'test'
      splits[split].append(path)
    return {
      split: self._generate_examples(paths) for split, paths in splits.items()
    }

  def _generate_examples(self, paths):
    names = [path.relative_to(FOLDER).as_posix() for path in paths]
    labels = [[CLASSES.index(name.split('/')[0])] for name in names]
    # FFmpeg does not read all of them.
    return audioset.readable(
      zip(names, paths, labels, strict=True), rate=RATE, with_video=False
    )


def recordings(folder: pathlib.Path) -> list[pathlib.Path]:
  """Those of all languages.

  Raises:
    FileNotFoundError: if a language has none.
  """
  found = []
  for language in CLASSES:
    paths = sorted((folder / language).glob('*/*.ogg'))
    if not paths:
      raise FileNotFoundError(
        f'The data set is read from {folder}/{language}/*/*.ogg, which has no '
        'file; `apt-get install klettres-data` installs them.'
      )
    found += paths
  return found


class Mixtures(Sequence):
  """Every recording with others of another language, as loud as they are.

  What is mixed follows from the index alone.
  """

  def __init__(self, recordings: Sequence[dict[str, Any]], per_recording: int):
    self._recordings = recordings
    self._per_recording = per_recording

  def __len__(self) -> int:
    return len(self._recordings) * self._per_recording

  def __getitem__(self, index: int) -> dict[str, Any]:
    text.check_index(self, index)
    rng = np.random.default_rng(index)
    one = two = self._recordings[index % len(self._recordings)]
    while two['labels'] == one['labels']:
      two = self._recordings[rng.integers(len(self._recordings))]
    audio = [_normalized(x['audio']) for x in (one, two)]
    mixed = np.zeros(max(map(len, audio)), np.float32)
    for x in audio:
      start = rng.integers(len(mixed) - len(x) + 1)
      mixed[start : start + len(x)] += x / 2
    return {
      'id': one['id'] + b' ' + two['id'],
      'audio': np.int16(mixed),
      'labels': np.concatenate([one['labels'], two['labels']]),
    }


def _normalized(audio: np.ndarray) -> np.ndarray:
  """With a mean square of a tenth of the range, or a peak of all of it."""
  audio = audio.astype(np.float32)
  loudness = np.sqrt(np.mean(audio**2)) + 1
  peak = np.max(np.abs(audio)) + 1
  return audio * min(0.1 * 2**15 / loudness, (2**15 - 1) / peak)


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`audio` int16 [S] at RATE and `labels` int32 [1], of mixtures [2]."""
  kind, _, part = split.rpartition('/')
  examples = list(tfds_source.prepare_and_open(Klettres, part, data_dir))
  if kind == 'mixtures':
    return Mixtures(examples, _MIXTURES_PER_RECORDING[part])
  return examples


def synthetic(split: str, num_examples: int = 40) -> Sequence[dict[str, Any]]:
  """Examples shaped like `source`'s: a tone for every language."""
  kind, _, part = split.rpartition('/')
  rng = np.random.default_rng(list(part.encode()))
  examples = []
  for i in range(num_examples):
    label = i % len(CLASSES)
    times = np.arange(int(rng.integers(RATE // 4, 2 * RATE))) / RATE
    tone = 4_000 * np.sin(2 * np.pi * 100 * (1 + label) * times)
    examples.append(
      {
        'id': f'{CLASSES[label]}/{i}'.encode(),
        'audio': np.int16(tone + 300 * rng.standard_normal(len(times))),
        'labels': np.array([label], np.int32),
      }
    )
  if kind == 'mixtures':
    return Mixtures(examples, 1)
  return examples

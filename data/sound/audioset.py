"""AudioSet: ten seconds of sound and video, 527 labels, several to a clip.

YouTube's videos are not published with it, so everybody has other ones. FOLDER
holds, as AudioSet's page gives them, class_labels_indices.csv and
<split>.csv (balanced_train_segments, unbalanced_train_segments,
eval_segments), and the segments that one has as clips/<YouTube id>.* or
clips/<YouTube id>_<start in seconds>.*, cut to their ten seconds:

  pip install -e '.[media]'
  python -m data.prepare sound.audioset --data_dir DIR --manual_dir FOLDER \
    --config=audio_video

(or `audio`, for which sound files do). Segments without a file, and files that
cannot be read, are left out and reported. Of `audio_video` what lacks sound or
pictures is kept, and what it lacks is masked. A split is '<config>/<split>',
such as 'audio_video/eval_segments'.

Letters: N clips of an example, S samples, T frames, H and W height and width.
"""

import collections
import csv
import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from data import folders, tables, tfds_source
from data.sound import audio_ops
from data.video import clip_files, jpegs

RATE, FPS, SIZE = 48_000, 25, 224
NUM_CLASSES = 527
_COMMAND = (
  'python -m data.prepare sound.audioset --data_dir DIR --manual_dir FOLDER '
  '--config={}'
)


class AudioSet(tfds.core.GeneratorBasedBuilder):
  """Writes one example a segment."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First.'}
  BUILDER_CONFIGS = [
    tfds.core.BuilderConfig(name='audio_video'),
    tfds.core.BuilderConfig(name='audio'),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = __doc__

  def _info(self):
    features = {
      'id': tfds.features.Text(),
      'audio': tfds.features.Tensor(shape=(None,), dtype=np.int16),
      'labels': tfds.features.Tensor(shape=(None,), dtype=np.int32),
    }
    if self.builder_config.name == 'audio_video':
      # The bytes of JPEG files. TFDS would decode an image feature, all of the
      # segment where a few frames are wanted.
      features['video'] = tfds.features.Sequence(tfds.features.Text())
    return self.dataset_info_from_configs(
      description='Sounds of YouTube videos, labelled by people.',
      features=tfds.features.FeaturesDict(features),
      homepage='https://research.google.com/audioset',
    )

  def _split_generators(self, dl_manager):
    root = pathlib.Path(dl_manager.manual_dir)
    classes = read_classes(root / 'class_labels_indices.csv')
    tables = sorted(root.glob('*_segments.csv'))
    if not tables:
      raise FileNotFoundError(
        f'manual_dir: found no table {root}/*_segments.csv.'
      )
    return {
      table.stem: self._generate_examples(table, classes, root / 'clips')
      for table in tables
    }

  def _generate_examples(self, table, classes, clips):
    files = files_by_name(clips)
    segments = list(read_segments(table, classes))
    present, missing = [], []
    for segment in segments:
      name, start, _ = segment
      file = files.get(f'{name}_{start:g}', files.get(name))
      (present if file else missing).append((*segment, file))
    if not present:
      raise FileNotFoundError(
        f'{table}: none of its {len(segments)} segments has a file in {clips}; '
        f'the first would be {clips / segments[0][0]}.*'
      )
    if missing:
      logging.warning(
        '%s: %d of %d segments have no file in %s, the first of them %s.',
        table,
        len(missing),
        len(segments),
        clips,
        missing[0][0],
      )
    with_video = self.builder_config.name == 'audio_video'
    yield from readable(
      (
        (f'{name}_{start:g}', file, labels)
        for name, start, labels, file in present
      ),
      rate=RATE,
      with_video=with_video,
    )


def readable(
  clips: Iterable[tuple[str, pathlib.Path, list[int]]],
  *,
  rate: int,
  with_video: bool,
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Examples of the files that can be read; the others are reported.

  Args:
    clips: (key, file, labels).
    rate: of the sound, samples a second.
    with_video: whether to read that, too.

  Raises:
    ValueError: at the end, if there was none.
  """
  written, lacking, broken = 0, collections.Counter(), []
  for key, file, labels in clips:
    try:
      example = read_clip(tables.Part(file), rate=rate, with_video=with_video)
    except ValueError as e:
      broken.append(str(e))
      logging.warning('Left out: %s', e)
      continue
    written += 1
    lacking.update(name for name, x in example.items() if not len(x))
    yield key, example | {'id': key, 'labels': np.array(labels, np.int32)}
  for name, number in sorted(lacking.items()):
    logging.warning(
      '%d of %d files have no %s, which is masked.', number, written, name
    )
  if broken:
    logging.warning(
      '%d of %d files could not be read and were left out.',
      len(broken),
      len(broken) + written,
    )
  if not written:
    raise ValueError(f'clips: none could be read; the first: {broken[0]}')


def read_clip(
  part: tables.Part, *, rate: int, with_video: bool
) -> dict[str, Any]:
  """`audio` and, if asked for, `video` as `source`'s; one may then be empty.

  Raises:
    ValueError: naming the file, which has nothing of it or is broken.
  """
  if with_video:
    return clip_files.read(part, fps=FPS, size=SIZE, rate=rate)
  # An optional extra, which reading the prepared data does without.
  from data.video import media

  path, start, end = part
  audio = media.read_audio(str(path), rate=rate, start=start, end=end)
  return {'audio': audio}


def read_classes(path: pathlib.Path) -> dict[str, int]:
  """Machine id ('/m/09x0r') -> index, of class_labels_indices.csv."""
  with open(path, newline='', encoding='utf-8') as f:
    return {row['mid']: int(row['index']) for row in csv.DictReader(f)}


def read_segments(
  path: pathlib.Path, classes: Mapping[str, int]
) -> Iterator[tuple[str, float, list[int]]]:
  """(YouTube id, start in seconds, labels) of a table of segments.

  Raises:
    ValueError: for a line that is none of a segment, or of an unknown class.
  """
  with open(path, newline='', encoding='utf-8') as f:
    for number, row in enumerate(csv.reader(f, skipinitialspace=True), 1):
      if not row or row[0].startswith('#'):
        continue
      try:
        name, start, _, mids = row
        yield name, float(start), [classes[mid] for mid in mids.split(',')]
      except (KeyError, ValueError) as e:
        raise ValueError(
          f'{path}, line {number}: found {row}, expected a YouTube id, start '
          'and end in seconds and quoted ids of classes that '
          'class_labels_indices.csv has.'
        ) from e


def files_by_name(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Name without suffix -> file; names of YouTube ids may contain dots not."""
  suffixes = folders.VIDEO_SUFFIXES + folders.SOUND_SUFFIXES
  return folders.by_stem(folders.files(folder, suffixes))


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`audio` int16 [S] at RATE, `labels` int32 [any number], and `video`, JPEG
  files at FPS of SIZE x SIZE, if '<config>/<split>' is of 'audio_video'."""
  config, _, part = split.partition('/')
  return tfds_source.open_prepared(
    f'audio_set/{config}',
    part,
    data_dir,
    command=_COMMAND.format(config),
    decoders={},
  )


def synthetic(split: str, num_examples: int = 8) -> list[dict[str, Any]]:
  """Tones of up to two classes, and grey frames, in the real format."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for i in range(num_examples):
    labels = rng.choice(NUM_CLASSES, 1 + i % 2, replace=False).astype(np.int32)
    times = np.arange(2 * RATE) / RATE
    tones = [np.sin(2 * np.pi * (100 + 10 * c) * times) for c in labels]
    example = {
      'id': f'synthetic_{i}'.encode(),
      'audio': np.int16(8_000 * sum(tones)),
      'labels': labels,
    }
    if split.startswith('audio_video/'):
      frame = np.full((SIZE, SIZE, 3), 32 * i, np.uint8)
      example['video'] = [jpegs.encode(frame)] * (2 * FPS)
    examples.append(example)
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_classes: int,
  rate: int,
  num_samples: int,
  num_clips: int,
  spectrogram: Mapping[str, int] | None,
  spec_augment: Mapping[str, int] | None,
  num_frames: int | None,
) -> dict[str, np.ndarray]:
  """Cuts clips: in training one at random, else N evenly spaced ones.

  Args:
    example: of `source` or `synthetic`.
    train: whether to draw the clip, and to mask its spectrogram.
    rng: what to draw from; only used in training.
    num_classes: K.
    rate: of the stored sound, samples a second.
    num_samples: S, of a clip.
    num_clips: N of evaluation, 16 in the paper; 1 in training.
    spectrogram: hop, window and num_bands of `audio_ops.log_mel`, or None for
      the samples themselves.
    spec_augment: options of `audio_ops.spec_augment`, or None for none.
    num_frames: T, of the clip's video at FPS; None for sound alone.

  Returns:
    `audio` float32 [N, S], or spectrograms [N, frames, bands]; `labels` float32
    [K], 1 for those the segment has; if asked for, `image` uint8 [N, T, H, W,
    3], and `has_image` and `has_audio` float32 [], 0 where there is none and
    zeros stand for it.
  """
  audio = np.asarray(example['audio'], np.float32) / 2**15
  video = () if num_frames is None else example['video']
  length = max(len(audio) / rate, len(video) / FPS)
  size = num_samples / rate
  if train:
    # A clip that is longer than the whole has it anywhere within.
    bounds = sorted((0.0, length - size))
    starts = rng.uniform(*bounds, size=1)
  else:
    starts = audio_ops.clip_starts(length, size, num_clips)
  clips = [
    audio_ops.cut(audio, round(start * rate), num_samples) for start in starts
  ]
  if spectrogram is not None:
    clips = [
      audio_ops.log_mel(clip, rate=rate, **spectrogram) for clip in clips
    ]
    if train and spec_augment is not None:
      clips = [audio_ops.spec_augment(x, rng, **spec_augment) for x in clips]
  labels = np.zeros(num_classes, np.float32)
  labels[example['labels']] = 1
  out = {'audio': np.stack(clips), 'labels': labels}
  if num_frames is not None:
    shape = (len(starts), num_frames, SIZE, SIZE, 3)
    out['image'] = np.zeros(shape, np.uint8)
    for i, start in enumerate(starts if len(video) else ()):
      out['image'][i] = jpegs.window(
        video, round(start * FPS), 1, num_frames, SIZE
      )
    out['has_image'] = np.float32(len(video) > 0)
    out['has_audio'] = np.float32(len(audio) > 0)
  return out


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(
    __name__, 'Prepares AudioSet.', manual_dir='tables and clips'
  )
  parser.add_argument(
    '--config', required=True, choices=('audio_video', 'audio')
  )
  args = parser.parse_args(argv)
  tfds_source.prepare(functools.partial(AudioSet, config=args.config), args)

"""Video clips with sound and a label: Kinetics, or any folder like it.

Of Kinetics there are only lists of YouTube's videos. Who has downloaded the
clips, as <youtube_id>_<time_start>_<time_end>.<extension> with times of six
digits, anywhere below a folder, prepares them together with the lists:

  pip install -e '.[media]'
  python -m data.prepare video.kinetics --data_dir DIR --videos FOLDER \
    --labels train.csv validate.csv

Clips that are broken, too short or missing, as some of YouTube's always are,
are named, left out and counted; sound or pictures that are missing are masked.
Splits are named as in the lists. A clip is stored as JPEG files of its central
square, 25 a second, and sound of 48 kHz: some 3 MB for ten seconds.

Letters: T frames, H and W height and width, S samples.
"""

import collections
import concurrent.futures
import csv
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import folders, tfds_source
from data.sound import audio_ops
from data.tables import Part
from data.video import clip_files, jpegs

FPS, RATE, IMAGE_SIZE = 25, 48_000, 224
SAMPLES_PER_FRAME = RATE // FPS
MIN_FRAMES = 16
_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end', 'split')
_NUM_AHEAD = 64  # clips that are decoded side by side


def features(labels: Sequence[str]) -> tfds.features.FeaturesDict:
  """Those of a data set of clips; `labels` are the classes' names."""
  return tfds.features.FeaturesDict(
    {
      # The bytes of JPEG files. TFDS would decode an image feature, all of the
      # clip where a few frames are wanted.
      'video': tfds.features.Sequence(tfds.features.Text()),
      'audio': tfds.features.Tensor(shape=(None,), dtype=np.int16),
      'label': tfds.features.ClassLabel(names=labels),
      'file_name': tfds.features.Text(),
    }
  )


def make_clip(video: np.ndarray, audio: np.ndarray) -> dict[str, Any]:
  """`video` and `audio` of an example.

  Args:
    video: uint8 [T, H, W, 3].
    audio: int16 [S]; see `clip_files.fit_sound`.
  """
  clip = {'video': jpegs.encode_all(video), 'audio': audio}
  return clip_files.fit_sound(clip, SAMPLES_PER_FRAME)


class Kinetics(tfds.core.GeneratorBasedBuilder):
  """Writes the clips of a folder that lists of labels name.

  Attributes:
    counts: split -> how many clips were 'written', 'broken' or 'missing', and
      how many of those written are 'silent' or 'blind'.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': '224 pixels, 25 frames a second, 48 kHz.'}

  def __init__(self, *, videos: str, labels: Sequence[str], **kwargs):
    """Reads the lists.

    Args:
      videos: the folder.
      labels: CSV files with Kinetics' columns.
      **kwargs: TFDS's own.

    Raises:
      ValueError: for a file that is no such list, or none of whose clips is in
        the folder.
    """
    self._splits = _read_labels(labels)
    self._paths = _find_videos(videos)
    for split, rows in self._splits.items():
      if not any(name in self._paths for name, _ in rows):
        raise ValueError(
          f'labels: none of the {len(rows)} clips of split {split!r} is in '
          f'{videos}; expected files such as {rows[0][0]}.mp4.'
        )
    self.counts = collections.defaultdict(collections.Counter)
    super().__init__(**kwargs)

  def _info(self):
    rows = [row for rows in self._splits.values() for row in rows]
    return self.dataset_info_from_configs(
      description='Labelled video clips with sound.',
      features=features(sorted({label for _, label in rows})),
      homepage='https://github.com/cvdfoundation/kinetics-dataset',
    )

  def _split_generators(self, dl_manager):
    return {
      split: self._generate_examples(split, rows)
      for split, rows in self._splits.items()
    }

  def _generate_examples(self, split, rows):
    counts = self.counts[split]
    with concurrent.futures.ThreadPoolExecutor() as pool:
      for first in range(0, len(rows), _NUM_AHEAD):
        some = rows[first : first + _NUM_AHEAD]
        clips = pool.map(self._read, [name for name, _ in some])
        for i, ((name, label), clip) in enumerate(
          zip(some, clips, strict=True)
        ):
          if isinstance(clip, Exception):
            missing = isinstance(clip, FileNotFoundError)
            counts['missing' if missing else 'broken'] += 1
            print(f'{split}: left out: {clip}', file=sys.stderr)
            continue
          counts['written'] += 1
          counts['silent'] += not len(clip['audio'])
          counts['blind'] += not len(clip['video'])
          yield first + i, {'label': label, 'file_name': name, **clip}

  def _read(self, name) -> dict[str, Any] | Exception:
    if name not in self._paths:
      return FileNotFoundError(f'found no video {name}.*')
    path = self._paths[name]
    try:
      clip = read_clip(Part(path))
    except ValueError as e:
      return e
    length = clip_files.num_frames(clip, SAMPLES_PER_FRAME)
    if length < MIN_FRAMES:
      return ValueError(
        f'{path}: found {length} frames at {FPS} a second, expected '
        f'{MIN_FRAMES} or more.'
      )
    return clip


def read_clip(part: Part) -> dict[str, Any]:
  """`video`, JPEG files, and `audio` int16 [S] that fits; one may be empty.

  Raises:
    ValueError: naming the file, which has neither or is broken.
  """
  clip = clip_files.read(part, fps=FPS, size=IMAGE_SIZE, rate=RATE)
  return clip_files.fit_sound(clip, SAMPLES_PER_FRAME)


def _read_labels(paths: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
  """Split -> (name of the clip's file without its extension, label)."""
  splits = collections.defaultdict(list)
  for path in paths:
    with open(path, newline='', encoding='utf-8') as f:
      reader = csv.DictReader(f)
      if missing := set(_COLUMNS) - set(reader.fieldnames or ()):
        raise ValueError(
          f'{path}: found columns {reader.fieldnames}, expected also '
          f'{sorted(missing)}.'
        )
      for row in reader:
        try:
          times = [int(float(row[key])) for key in ('time_start', 'time_end')]
        except (TypeError, ValueError):
          times = None
        if times is None or not all(row[key] for key in _COLUMNS):
          raise ValueError(
            f'{path}, line {reader.line_num}: found {row}, expected a value in '
            'every column, and times in seconds.'
          )
        name = '{}_{:06d}_{:06d}'.format(row['youtube_id'], *times)
        splits[row['split']].append((name, row['label']))
  if not splits:
    raise ValueError(f'labels: found no clips in {list(paths)}.')
  return splits


def _find_videos(folder: str) -> dict[str, str]:
  """Name without extension -> path, of all clips below a folder.

  What downloaders leave beside them, such as a.json or a.vtt, is no clip.
  """
  paths = {}
  for path in folders.files(folder, folders.VIDEO_SUFFIXES, recursive=True):
    if path.stem in paths:
      raise ValueError(
        f'videos: found both {paths[path.stem]} and {path}, expected one of '
        'them.'
      )
    paths[path.stem] = str(path)
  return paths


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """`video` (a list of JPEG files' bytes), `audio` int16 [S], `label`."""
  return tfds_source.open_prepared(
    'kinetics',
    split,
    data_dir,
    command='python -m data.prepare video.kinetics --data_dir DIR '
    '--videos FOLDER --labels CSV...',
    decoders={},
  )


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Clips of 20 frames: a gradient that moves, and a tone."""
  rng = np.random.default_rng(list(split.encode()))
  time = np.arange(20 * SAMPLES_PER_FRAME) / RATE
  examples = []
  for i in range(num_examples):
    texture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    side = 2 * IMAGE_SIZE
    image = np.asarray(
      PIL.Image.fromarray(texture).resize((side, side), PIL.Image.BICUBIC)
    )
    video = np.stack(
      [image[4 * t :, 4 * t :][:IMAGE_SIZE, :IMAGE_SIZE] for t in range(20)]
    )
    tone = 8_000 * np.sin(2 * np.pi * rng.uniform(100, 1_000) * time)
    examples.append(
      {
        **make_clip(video, tone.astype(np.int16)),
        'label': np.int64(i % 8),
        'file_name': f'synthetic_{split}_{i}'.encode(),
      }
    )
  return examples


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_frames: int = MIN_FRAMES,
  image_size: int = IMAGE_SIZE,
  num_samples: int = MIN_FRAMES * SAMPLES_PER_FRAME,
  gain: float = 1.0,
) -> dict[str, np.ndarray]:
  """Takes a part of a clip, at random in training, else its middle.

  Args:
    example: of `source` or `synthetic`.
    train: whether to draw.
    rng: what to draw from; only used in training.
    num_frames: T.
    image_size: H and W; frames are scaled to it, by averages over areas.
    num_samples: S, of as long a time; groups of the file's samples are averaged
      to as many, which they must be a multiple of.
    gain: what samples are multiplied by, for sound that is quiet.

  Returns:
    `image` float32 [T, H, W, 3] in [0, 1], `audio` float32 [S, 1] in [-1, 1],
    `has_image` and `has_audio` float32 [], 0 where there is none and zeros
    stand for it, and `label` int32 [].
  """
  frames, window = example['video'], num_frames * SAMPLES_PER_FRAME
  last = clip_files.num_frames(example, SAMPLES_PER_FRAME) - num_frames
  if last < 0:
    raise ValueError(
      f'preprocess.num_frames: found {num_frames}, expected at most the '
      f'{last + num_frames} frames of {example["file_name"].decode()}.'
    )
  if window % num_samples:
    raise ValueError(
      f'preprocess.num_samples: found {num_samples}, expected a divisor of '
      f'{window}, the samples of {num_frames} frames.'
    )
  start = rng.integers(last + 1) if train else last // 2
  image = np.zeros((num_frames, image_size, image_size, 3), np.uint8)
  if len(frames):
    image = jpegs.window(frames, start, 1, num_frames, image_size)
  audio = audio_ops.cut(example['audio'], start * SAMPLES_PER_FRAME, window)
  audio = audio.reshape(num_samples, -1).mean(axis=1) * (gain / 2**15)
  return {
    'image': image.astype(np.float32) / 255,
    'audio': np.clip(audio, -1, 1)[:, None].astype(np.float32),
    'has_image': np.float32(len(frames) > 0),
    'has_audio': np.float32(len(example['audio']) > 0),
    'label': np.int32(example['label']),
  }


def prepare(
  data_dir: str, videos: str, labels: Sequence[str]
) -> dict[str, collections.Counter]:
  """Writes the data set and returns how many clips were what, by split."""
  options = dict(data_dir=data_dir, file_format='array_record')
  builder = Kinetics(videos=videos, labels=labels, **options)
  tfds_source.prepare_from(builder, [videos, *labels])
  return builder.counts


def main(argv: list[str]):
  parser = tfds_source.preparation_parser(__name__, 'Prepares Kinetics.')
  parser.add_argument('--videos', required=True, help='a folder of clips')
  parser.add_argument(
    '--labels', required=True, nargs='+', help="CSV files, Kinetics' lists"
  )
  args = parser.parse_args(argv)
  counts = prepare(os.path.expanduser(args.data_dir), args.videos, args.labels)
  for split, found in counts.items():
    print(
      f'{split}: {found["written"]} clips, {found["silent"]} of them without '
      f'sound and {found["blind"]} without pictures; left out '
      f'{found["broken"]} broken and {found["missing"]} missing ones.'
    )

"""Your own clips: a folder a class, or a table; pictures and sound.

As data/images/folder.py, with files of video or sound:

  DIR/dog/a.mp4, DIR/rain/b.wav   or with splits, DIR/train/dog/a.mp4
  TABLE.csv (or .tsv, .jsonl)     file, label[, start, end][, split][, group]

A label may be several, `dog|rain`; `start` and `end` are seconds. A clip
without sound or without pictures is used, too: what it lacks is masked. All is
decoded when the data set is opened and kept in memory, central squares of SIZE
at FPS as JPEG files, and sound at RATE. What cannot be read is left out, named
and counted.

Letters: N clips of an example, S samples, T frames, H and W height and width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import clips, folders
from data.sound import audio_ops
from data.tables import Part
from data.video import clip_files, jpegs, kinetics

FPS, RATE, SIZE = kinetics.FPS, kinetics.RATE, kinetics.IMAGE_SIZE
SUFFIXES = (*folders.VIDEO_SUFFIXES, *folders.SOUND_SUFFIXES)


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """As `read_file`, and `labels` int32 [any number], `file_name`, `classes`.

  Raises:
    FileNotFoundError, ValueError: naming what cannot be used.
  """
  return clips.labelled(
    split, data_dir, suffixes=SUFFIXES, what='clips', read=read_file
  )


def read_file(part: Part) -> dict[str, Any]:
  """`video`, JPEG files, and `audio` int16 [S]; one of them may be empty.

  Raises:
    ValueError: naming the file, which has neither or is broken.
  """
  return clip_files.read(part, fps=FPS, size=SIZE, rate=RATE)


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Those of `kinetics`, in four classes; a quarter each deaf or blind."""
  classes = ('bell', 'dog', 'rain', 'wind')
  found = []
  for i, x in enumerate(kinetics.synthetic(split, num_examples)):
    if i % 4 == 2:
      x['audio'] = x['audio'][:0]
    if i % 4 == 3:
      x['video'] = []
    labels = np.int32([i // 2 % 4])
    found.append(x | {'labels': labels, 'classes': classes})
  return found


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_classes: int,
  num_clips: int,
  num_frames: int,
  frame_stride: int,
  image_size: int,
  num_samples: int,
  spectrogram: Mapping[str, int] | None,
  spec_augment: Mapping[str, int] | None,
  hidden: Sequence[str],
) -> dict[str, np.ndarray]:
  """Cuts clips: in training one at random, else N evenly spaced ones.

  Training also draws a crop, a mirror image and the brightness, which all
  frames of a clip share. What is outside the file is silent and stands still.

  Args:
    example: of `source` or `synthetic`.
    train: whether to draw.
    rng: what to draw from; only used in training.
    num_classes: K.
    num_clips: N of evaluation; 1 in training.
    num_frames: T.
    frame_stride: frames, of FPS, from one to the next.
    image_size: H and W, cropped from frames of 9 / 8 of it.
    num_samples: S, at RATE.
    spectrogram: hop, window and num_bands of `audio_ops.log_mel`, or None for
      the samples themselves.
    spec_augment: options of `audio_ops.spec_augment`, or None for none.
    hidden: of image and audio, what is masked as if no clip had it.

  Returns:
    `image` uint8 [N, T, H, W, 3], `audio` float32 [N, S] or spectrograms [N,
    frames, bands], `has_image` and `has_audio` float32 [], 0 where there is
    none and zeros stand for it; `labels` float32 [K].
  """
  video = [] if 'image' in hidden else example['video']
  samples = example['audio'][: 0 if 'audio' in hidden else None]
  length = max(len(video) / FPS, len(samples) / RATE)
  size = max(num_frames * frame_stride / FPS, num_samples / RATE)
  if train:
    # A clip that is longer than the file has it anywhere within.
    starts = rng.uniform(*sorted((0.0, length - size)), size=1)
  else:
    starts = audio_ops.clip_starts(length, size, num_clips)
  audio = np.asarray(samples, np.float32) / 2**15
  sounds = [
    audio_ops.cut(audio, round(start * RATE), num_samples) for start in starts
  ]
  if spectrogram is not None:
    sounds = [audio_ops.log_mel(x, rate=RATE, **spectrogram) for x in sounds]
    if train and spec_augment is not None:
      sounds = [audio_ops.spec_augment(x, rng, **spec_augment) for x in sounds]
  shape = (len(starts), num_frames, image_size, image_size, 3)
  image = np.zeros(shape, np.uint8)
  for i, start in enumerate(starts if len(video) else ()):
    frames = jpegs.window(
      video, round(start * FPS), frame_stride, num_frames, image_size * 9 // 8
    )
    image[i] = jpegs.crop(frames, image_size, rng if train else None)
  labels = np.zeros(num_classes, np.float32)
  labels[example['labels']] = 1
  return {
    'image': image,
    'audio': np.stack(sounds),
    'has_image': np.float32(len(video) > 0),
    'has_audio': np.float32(len(samples) > 0),
    'labels': labels,
  }

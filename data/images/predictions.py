"""Classes of pictures, for `predict.py`."""

import functools
import importlib
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from data import image_files, tables
from data.images import folder_examples
from train_lib import prediction

_TOP = 5
_OUTPUTS = ('logits', 'numbers')


def expand_images(given: str) -> list[pathlib.Path]:
  """A file, all pictures in a folder, or those that a table names."""
  path = pathlib.Path(given)
  if path.is_dir():
    return image_files.image_paths(given)
  if path.suffix.lower() in tables.SUFFIXES:
    return [tables.file(path, row) for row in tables.read(path, ('file',))]
  return [path]


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Pictures':
  """Of classifiers of images; without names classes are numbers."""
  return Pictures(prediction.evaluation(config).data, classes)


class Pictures:
  """Reads pictures as the run's data set, and tells the likeliest classes."""

  def __init__(self, data_config, classes: tuple[str, ...] | None):
    module = importlib.import_module(data_config.module)
    # The form in which the module takes an image: pixels, or a file.
    self._like = module.synthetic(data_config.split)[0]
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **data_config.preprocess
    )
    self._classes = classes
    self.batch_size = data_config.batch_size

  expand = staticmethod(expand_images)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a path, a file's bytes, or pixels uint8 [H, W, 3]."""
    if isinstance(given, np.ndarray):
      pixels = given
    else:
      pixels = folder_examples.read_like(given, self._like['image'])
    example = self._preprocess(self._like | {'image': pixels})
    return {'image': example['image']}

  def outputs(self, task, variables, batch):
    found = task.predict(variables, batch)
    return {name: found[name] for name in _OUTPUTS if name in found}

  def result(self, given: Any, output: Mapping[str, np.ndarray]):
    """The best classes: label, probability, label_2, probability_2, ...; or
    `number`."""
    del given
    if 'numbers' in output:
      return {'number': round(float(output['numbers'][0]), 6)}, {}
    return best_classes(output['logits'], self._classes), {}


def best_classes(
  logits: np.ndarray, classes: tuple[str, ...] | None
) -> dict[str, Any]:
  """The five best of K: label, probability, label_2, probability_2, ...

  Args:
    logits: [K].
    classes: names; None for numbers.
  """
  shares = np.exp(logits.astype(np.float64) - logits.max())
  best = np.argsort(-logits, kind='stable')[:_TOP]
  probabilities = (shares[best] / shares.sum()).tolist()
  values = {}
  for i, (k, probability) in enumerate(
    zip(best.tolist(), probabilities, strict=True)
  ):
    suffix = f'_{i + 1}' if i else ''
    values[f'label{suffix}'] = classes[k] if classes else k
    values[f'probability{suffix}'] = round(probability, 6)
  return values

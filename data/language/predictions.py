"""Classes or numbers of texts, for `predict.py`."""

import functools
import importlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

from data import folders, tables
from data.images import predictions
from data.language import table
from train_lib import prediction


def expand_texts(given: str) -> list[Any]:
  """A table's texts, the lines of a .txt file, those of all such files in a
  folder, or the argument itself.

  Raises:
    ValueError: it is the name of another file, or such a name without a file.
  """
  suffix = pathlib.Path(given).suffix.lower()
  if suffix in tables.SUFFIXES:
    texts = [table.texts_of(row) for row in tables.read(given, ('text',))]
    return [x[0] if len(x) == 1 else x for x in texts]
  if _is(os.path.isdir, given):
    files = folders.files(given, ('.txt', *tables.SUFFIXES))
    return [text for file in files for text in expand_texts(str(file))]
  is_file = _is(os.path.isfile, given)
  if suffix == '.txt' and (is_file or len(given.split()) == 1):
    lines = folders.lines_of(folders.read_text(given))
    return [line for line in lines if line.strip()]
  if is_file:
    raise ValueError(
      f'{given}: expected a text, a .txt file or a table '
      f'({", ".join(tables.SUFFIXES)}), found another file.'
    )
  return [given]


def _is(kind: Callable[[str], bool], given: str) -> bool:
  try:
    return kind(given)
  except ValueError:  # No name has a zero.
    return False


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Texts':
  """Of classifiers of texts; without names classes are numbers."""
  return Texts(prediction.evaluation(config).data, classes)


class Texts:
  """Reads texts as the run's data set, and tells the likeliest classes."""

  def __init__(
    self,
    data_config: ml_collections.ConfigDict,
    classes: tuple[str, ...] | None,
  ):
    module = importlib.import_module(data_config.module)
    self._like = module.synthetic(data_config.split)[0]
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **data_config.preprocess
    )
    self._classes = classes
    self.batch_size = data_config.batch_size

  expand = staticmethod(expand_texts)

  def example(self, given: str | Sequence[str]) -> dict[str, np.ndarray]:
    """Of a text, or of two."""
    texts = [given] if isinstance(given, str) else list(given)
    if not 1 <= len(texts) <= 2 or not all(x.strip() for x in texts):
      raise ValueError(f'{given!r}: expected a text or two, not empty.')
    example = self._preprocess(self._like | {'texts': texts})
    return {name: x for name, x in example.items() if name != 'label'}

  def outputs(self, task, variables, batch):
    return task.predict(variables, batch)

  def result(self, given: Any, output: Mapping[str, np.ndarray]):
    """The best classes: label, probability, label_2, probability_2, ...; or
    `number`."""
    del given
    if 'numbers' in output:
      return {'number': round(float(output['numbers'][0]), 6)}, {}
    return predictions.best_classes(output['logits'], self._classes), {}

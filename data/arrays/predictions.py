"""Classes or numbers of arrays, for `predict.py`."""

import dataclasses
import functools
import importlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from data.arrays import files, forms
from data.images import predictions
from train_lib import prediction


@dataclasses.dataclass(frozen=True)
class FromFile:
  """An example of a file; as text 'new[3].npz'."""

  arrays: forms.Arrays
  row: int

  def __str__(self) -> str:
    path = pathlib.Path(self.arrays.name)
    return str(path.with_name(f'{path.stem}[{self.row}]{path.suffix}'))


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Outputs':
  """Of the task `perceiver_io.tasks.arrays`."""
  return Outputs(prediction.evaluation(config).data, config.task.dense, classes)


class Outputs:
  """Reads arrays as the run's data set, and tells what is asked of them."""

  def __init__(
    self,
    data_config: ml_collections.ConfigDict,
    dense: bool,
    classes: tuple[str, ...] | None,
  ):
    module = importlib.import_module(data_config.module)
    self._preprocess = functools.partial(
      module.preprocess, train=False, rng=None, **data_config.preprocess
    )
    self._dense, self._classes = dense, classes
    self.batch_size = data_config.batch_size

  def expand(self, given: str) -> list[FromFile]:
    """The examples of a file, or of a folder of .npy files."""
    found = forms.check(os.fspath(given), _unlabelled(files.read(given)))
    found = dataclasses.replace(found, rows=range(len(found.x)))
    return [FromFile(found, row) for row in found.rows]

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of an example of a file, x [M, C], or {'x': ..., 'mask': ..., ...}."""
    if isinstance(given, FromFile):
      return self._preprocess(given.arrays[given.row])
    if not isinstance(given, Mapping):
      given = {'x': given}
    raw = {name: np.asarray(x)[None] for name, x in given.items()}
    found = forms.check('input', _unlabelled(raw))
    return self._preprocess(dataclasses.replace(found, rows=(0,))[0])

  def outputs(self, task, variables, batch):
    return task.predict(variables, batch)

  def result(self, given: Any, output: Mapping[str, np.ndarray]):
    """The best classes, or numbers `y`; of elements or queries also an array
    `.npy`: classes [O], or numbers [O, K]."""
    if self._dense:
      return self._of_elements(given, output)
    if 'logits' in output:
      return predictions.best_classes(output['logits'], self._classes), {}
    numbers = [round(float(x), 6) for x in output['numbers']]
    if len(numbers) == 1:
      return {'y': numbers[0]}, {}
    return {f'y_{i}': x for i, x in enumerate(numbers, 1)}, {}

  def _of_elements(self, given, output):
    if 'numbers' in output:
      array = output['numbers']
      shown = [[round(float(x), 6) for x in row] for row in array]
      shown = [row[0] if len(row) == 1 else row for row in shown]
    else:
      array = output['logits'].argmax(axis=-1)
      shown = [self._classes[k] if self._classes else int(k) for k in array]
    if isinstance(given, FromFile) and given.arrays.queries is None:
      mask = given.arrays.mask
      if mask is not None:
        present = mask[given.row] > 0
        shown = [x for x, here in zip(shown, present, strict=True) if here]
    return {'y': shown}, {'.npy': array}


def _unlabelled(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  wanted = ('x', 'coordinates', 'mask', 'queries', 'columns')
  return {name: x for name, x in raw.items() if name in wanted}

"""What is done with sets of entities, for `predict.py`."""

import functools
import importlib
import pathlib
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from data.entities import entities
from data.language.predictions import expand_texts
from train_lib import prediction


class Step(NamedTuple):
  """Of an archive, as `entities.read_steps` reads it; 'games[3].npz'."""

  name: str
  raw: dict[str, np.ndarray]

  def __str__(self) -> str:
    return self.name


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Actions':
  """Of the task `perceiver_io.tasks.behavioural_cloning`."""
  del classes
  data = prediction.evaluation(config).data
  return Actions(data, config.model.num_locations)


class Actions:
  """Reads archives, or what the run's data set reads of a line of text."""

  def __init__(self, data_config: ml_collections.ConfigDict, locations: int):
    self._module = importlib.import_module(data_config.module)
    options = data_config.preprocess
    self._preprocess = functools.partial(
      self._module.preprocess, train=False, rng=None, **options
    )
    self._most, self._locations = options.max_entities, locations
    self.batch_size = data_config.batch_size

  def expand(self, given: str) -> list[Any]:
    """The steps of an archive; of chess a position, or a .txt file of them."""
    path = pathlib.Path(given)
    if path.suffix.lower() == '.npz':
      return [
        Step(str(path.with_name(f'{path.stem}[{i}].npz')), step)
        for i, step in enumerate(entities.read_steps(path, labelled=False))
      ]
    if not hasattr(self._module, 'read_text'):
      raise ValueError(f'{given}: expected an archive, .npz.')
    return expand_texts(given)

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a step, its arrays, or a text."""
    if isinstance(given, Step):
      given = given.raw
    if isinstance(given, str):
      given = self._module.read_text(given)
    unlabelled = entities.unlabelled(len(given['categories']))
    example = self._preprocess(unlabelled | given)
    return {k: x for k, x in example.items() if k not in ('selected', 'target')}

  def outputs(self, task, variables, batch):
    found = task.predict(variables, batch)
    return {'mask': batch['entity_mask'], **found}

  def result(self, given: Any, output: dict[str, np.ndarray]):
    """The unit that is selected and its target, an entity or a location, and
    the probability of both; of chess also the move."""
    units = np.where(output['mask'] > 0, output['units'], -np.inf)
    unit, target = int(units.argmax()), int(output['targets'].argmax())
    is_location = target >= self._most
    probability = _probability(units) * _probability(output['targets'])
    values = {
      'unit': unit,
      'target_entity': -1 if is_location else target,
      'target_location': target - self._most if is_location else -1,
      'probability': round(probability, 6),
    }
    if isinstance(given, str):
      values = {'move': self._module.as_text(given, values)} | values
    return values, {}


def _probability(logits: np.ndarray) -> float:
  """Of the likeliest."""
  return float(1 / np.exp(np.float64(logits) - logits.max()).sum())

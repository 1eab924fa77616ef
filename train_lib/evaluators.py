"""Evaluators: what a config's `evals` name.

An evaluator's module has `make_evaluator(config, *, task, mesh, folder)`, which
returns an object with `run(state) -> {name: float}`. `train_lib.evaluate` is
the one that most configs name.
"""

import importlib
from collections.abc import Sequence
from typing import Protocol

import ml_collections
from jax.sharding import Mesh

from train_lib import pictures, pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState


class Evaluator(Protocol):
  def run(self, state: TrainState) -> dict[str, float]:
    """Evaluates a state; what it writes goes into its folder."""


def make_evaluators(
  config: ml_collections.ConfigDict, task: Task, mesh: Mesh, workdir: str
) -> dict[str, Evaluator]:
  """Builds the evaluators of `config.evals`: name -> {module, ...}."""
  evaluators = {}
  for name, section in sections(config).items():
    module = importlib.import_module(section.module)
    folder = pictures.folder_of(workdir, name)
    try:
      evaluators[name] = module.make_evaluator(
        section, task=task, mesh=mesh, folder=folder
      )
    except ValueError as e:  # The data's modules know of config.data alone.
      text = str(e)
      if not text.startswith('config.data.'):
        raise
      own = f'config.evals.{name}.{text.removeprefix("config.")}'
      raise ValueError(own) from e
  return evaluators


def sections(
  config: ml_collections.ConfigDict,
) -> dict[str, ml_collections.ConfigDict]:
  """The evaluators' sections, each with all of its `data`.

  What a section does not name is as in `config.data` (`pipeline.inherited`).
  """
  return {
    name: ml_collections.ConfigDict(
      {**section, 'data': pipeline.inherited(config.data, section.data)}
    )
    for name, section in config.evals.items()
  }


def run(
  evaluators: dict[str, Evaluator], names: Sequence[str], state: TrainState
) -> dict[str, float]:
  """Runs the named evaluators: {'test/accuracy': 0.97, ...}."""
  return {
    f'{name}/{key}': value
    for name in names
    for key, value in evaluators[name].run(state).items()
  }

"""Evaluators: what a config's `evals` name.

An evaluator's module has `make_evaluator(config, *, task, mesh, folder)`, which
returns an object with `run(state) -> {name: float}`, and maybe `check`.
`train_lib.evaluate` is the one that most configs name.
"""

import importlib
from collections.abc import Sequence
from typing import Protocol

import ml_collections
from jax.sharding import Mesh

from train_lib import checks, pictures, pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState


class Evaluator(Protocol):
  def run(self, state: TrainState) -> dict[str, float]:
    """Evaluates a state; what it writes goes into its folder."""


def make(
  config: ml_collections.ConfigDict,
  task: Task,
  mesh: Mesh,
  workdir: str,
  state: TrainState | None = None,
) -> dict[str, Evaluator]:
  """Builds the evaluators of `config.evals`: name -> {module, ...}.

  With the shapes, types and shardings of a state it sees, before anything is
  computed, that they will run. Those that have `check(state)` tell what they
  cannot run on, and which metrics there are; others are believed until then.

  Raises:
    ValueError: an evaluator does not fit the data or the model, or the metric
      that decides what is best is none of its evaluation.
  """
  evaluators = {}
  for name, section in sections(config).items():
    folder = pictures.folder_of(workdir, name)
    try:
      with checks.naming(f'config.evals.{name}'):
        module = importlib.import_module(section.module)
        evaluators[name] = module.make_evaluator(
          section, task=task, mesh=mesh, folder=folder
        )
    except ValueError as e:  # The data's modules know of config.data alone.
      text = str(e)
      if not text.startswith('config.data.'):
        raise
      own = f'config.evals.{name}.{text.removeprefix("config.")}'
      raise ValueError(own) from e
  if state is not None:
    _check(config, evaluators, state)
  return evaluators


def _check(config, evaluators, state) -> None:
  best = config.checkpoint.best_metric or ''
  for name, evaluator in evaluators.items():
    with checks.naming(f'config.evals.{name}'):
      check = getattr(evaluator, 'check', None)
      metrics = check(state) if check else None
    found = [f'{name}/{metric}' for metric in sorted(metrics or ())]
    if found and best.startswith(f'{name}/') and best not in found:
      raise ValueError(
        f'config.checkpoint.best_metric: found {best!r}; expected one of '
        f'{found}.'
      )


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


def due(config: ml_collections.ConfigDict, step: int) -> list[str]:
  """Names of those that are to run after a step; after the last one, all."""
  return [
    name
    for name, section in config.evals.items()
    if step % section.every_steps == 0 or step == config.num_steps
  ]


def run(
  evaluators: dict[str, Evaluator], names: Sequence[str], state: TrainState
) -> dict[str, float]:
  """Runs the named evaluators: {'test/accuracy': 0.97, ...}."""
  return {
    f'{name}/{key}': value
    for name in names
    for key, value in evaluators[name].run(state).items()
  }

"""Evaluators: what a config's `evals` name, and the one most of them are.

An evaluator's module has `make_evaluator(config, *, task, mesh, workdir)`,
which returns an object with `run(state) -> {name: float}`.
"""

import datetime
import importlib
import json
import os
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from train_lib import metrics, pipeline, sharding
from train_lib.task import Task, label_ranges_of
from train_lib.train_state import TrainState

PyTree = Any


class Evaluator(Protocol):
  def run(self, state: TrainState) -> dict[str, float]:
    """Evaluates a state; what it writes goes below the workdir."""


def make_evaluators(
  config: ml_collections.ConfigDict, task: Task, mesh: Mesh, workdir: str
) -> dict[str, Evaluator]:
  """Builds the evaluators of `config.evals`: name -> {module, ...}."""
  evaluators = {}
  for name, section in config.evals.items():
    module = importlib.import_module(section.module)
    evaluators[name] = module.make_evaluator(
      section, task=task, mesh=mesh, workdir=workdir
    )
  return evaluators


def run(
  evaluators: dict[str, Evaluator], names: Sequence[str], state: TrainState
) -> dict[str, float]:
  """Runs the named evaluators: {'test/accuracy': 0.97, ...}."""
  return {
    f'{name}/{key}': value
    for name in names
    for key, value in evaluators[name].run(state).items()
  }


def write_results(
  workdir: str,
  *,
  config: str,
  weights: str,
  imported: bool,
  command: str,
  metrics: dict[str, float],
) -> None:
  """Keeps an evaluation in `workdir`/results.json, with the time, in UTC.

  Args:
    workdir: folder; made if it does not exist.
    config: what --config named.
    weights: checkpoint, or workdir of the run that trained them.
    imported: whether they come from elsewhere and were not trained here.
    command: that gave the metrics.
    metrics: as `run` returns them.
  """
  os.makedirs(workdir, exist_ok=True)
  now = datetime.datetime.now(datetime.UTC)
  results = {
    'date': now.isoformat(timespec='seconds'),
    'config': config,
    'weights': weights,
    'imported': imported,
    'command': command,
    'metrics': metrics,
  }
  with open(os.path.join(workdir, 'results.json'), 'w') as file:
    json.dump(results, file, indent=2)


def make_evaluator(
  config: ml_collections.ConfigDict, *, task: Task, mesh: Mesh, workdir: str
) -> 'MetricsEvaluator':
  """Builds the evaluator of `task.metrics` over the data set `config.data`."""
  del workdir  # It writes nothing.
  batches = pipeline.make_eval_batches(
    config.data,
    sharding=sharding.batch_sharding(mesh),
    label_ranges=label_ranges_of(task),
  )
  return MetricsEvaluator(task, mesh, batches)


class MetricsEvaluator:
  """The task's metrics over one pass of a data set."""

  def __init__(self, task: Task, mesh: Mesh, batches):
    self._batches = batches
    self._metrics = jax.jit(sharding.on_mesh(mesh, task.metrics))

  def run(self, state: TrainState) -> dict[str, float]:
    total, pending = None, None
    for batch in self._batches:
      current = self._metrics(state.eval_variables, batch)
      total, pending = _merge(total, pending), current  # One batch late.
    total = _merge(total, pending)
    return {name: metric.compute() for name, metric in total.items()}


def _merge(total, current) -> dict[str, metrics.Metric] | None:
  """Adds a batch's sums to the host's, which are kept in float64."""
  if current is None:
    return total
  current = jax.tree.map(lambda x: np.asarray(x, np.float64), current)
  if total is None:
    return current
  return {name: total[name].merge(metric) for name, metric in current.items()}

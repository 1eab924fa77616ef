"""The paper's GLUE average (Jaegle et al. 2021b, table 14)."""

import pathlib

import ml_collections
from jax.sharding import Mesh

from train_lib import evaluate, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'Glue':
  """Reads data; its split may be any."""
  del folder  # It writes nothing.
  batches = pipeline.make_eval_batches(
    config.data, sharding=sharding.batch_sharding(mesh)
  )
  return Glue(task, mesh, batches)


class Glue(evaluate.MetricsEvaluator):
  """The task's metrics, and `average` over what there is."""

  def check(self, state: TrainState) -> set[str]:
    return super().check(state) | {'average'}

  def run(self, state: TrainState) -> dict[str, float]:
    results = super().run(state)
    return results | {'average': average(results)}


def average(results: dict[str, float]) -> float:
  """The mean of the tasks' scores; MNLI's two halves are one task.

  Args:
    results: 'loss', which does not count, and '<task>_<metric>'. Tasks without
      examples are NaN and do not count either.
  """
  scores = {}
  for name, value in results.items():
    if name != 'loss' and value == value:
      scores.setdefault(name.split('_')[0], []).append(value)
  means = [sum(values) / len(values) for values in scores.values()]
  return sum(means) / len(means)

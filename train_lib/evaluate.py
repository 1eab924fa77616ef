"""The evaluator that most configs name: the task's own metrics."""

import pathlib

import ml_collections
from jax.sharding import Mesh

from train_lib import in_parts, metrics, pipeline, sharding
from train_lib.task import Task, label_ranges_of
from train_lib.train_state import TrainState


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'MetricsEvaluator':
  """Builds the evaluator of `task.metrics` over the data set `config.data`."""
  del folder  # It writes nothing.
  batches = pipeline.make_eval_batches(
    config.data,
    sharding=sharding.batch_sharding(mesh),
    label_ranges=label_ranges_of(task),
  )
  return MetricsEvaluator(task, mesh, batches)


class MetricsEvaluator:
  """The task's metrics over one pass of a data set."""

  def __init__(self, task: Task, mesh: Mesh, batches: pipeline.EvalBatches):
    self._batches = batches
    self._metrics = in_parts.InParts(mesh, task.metrics)

  def check(self, state: TrainState) -> set[str]:
    """The metrics' names, of a state's shapes."""
    batch = self._batches.element_spec
    return set(self._metrics.eval_shape(state.eval_variables, batch))

  def run(self, state: TrainState) -> dict[str, float]:
    total, pending = None, None
    for batch in self._batches:
      for current in self._metrics(state.eval_variables, batch):
        total, pending = metrics.merged(total, pending), current  # One late.
    return metrics.computed(metrics.merged(total, pending))

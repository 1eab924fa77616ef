"""AudioSet's metric, over a whole data set.

The mean over classes of the average precision, each class ranking all examples
(macro mAP). Classes that no example has do not count. Beside it the share of
the examples whose most probable class applies.
"""

import pathlib

import ml_collections
import numpy as np
from jax.sharding import Mesh
from sklearn import metrics as sklearn_metrics

from train_lib import in_parts, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'MeanAveragePrecision':
  """Reads data; `task.predict` gives `probabilities` [B, K]."""
  del folder  # It writes nothing.
  batches = pipeline.make_eval_batches(
    config.data, sharding=sharding.batch_sharding(mesh)
  )
  return MeanAveragePrecision(task, batches, mesh)


class MeanAveragePrecision:
  """`map`, in percent as published, and the best class's `accuracy`."""

  def __init__(self, task: Task, batches: pipeline.EvalBatches, mesh: Mesh):
    def predict(variables, batch):
      outputs = task.predict(variables, batch)
      return outputs['probabilities'], batch['labels'], batch['mask']

    self._batches = batches
    # Ranking takes all examples: every process gets them.
    self._predict = in_parts.InParts(mesh, predict)

  def run(self, state: TrainState) -> dict[str, float]:
    scores, labels, mask = in_parts.joined(
      part
      for batch in self._batches
      for part in self._predict(state.eval_variables, batch)
    )
    present = mask > 0
    return results(scores[present], labels[present])


def results(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
  """Of scores and labels [examples, K].

  Raises:
    ValueError: if no example is of any class: of nothing, average precision is
      undefined.
  """
  known = labels.any(axis=0)
  if not known.any():
    raise ValueError(
      f'labels: found none of {labels.shape[1]} classes in {len(labels)} '
      'examples; expected at least one, since average precision of nothing is '
      'undefined.'
    )
  precision = sklearn_metrics.average_precision_score(
    labels[:, known], scores[:, known], average='macro'
  )
  best = scores.argmax(axis=1)
  hits = np.take_along_axis(labels, best[:, None], axis=1)
  return {'map': 100 * float(precision), 'accuracy': float(hits.mean())}

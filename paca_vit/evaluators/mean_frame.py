"""What a linear model of the mean frame reaches: the baseline of video.

Ridge regression to one-hot labels, on windows as evaluation sees them.
"""

import pathlib

import ml_collections
import numpy as np
from jax.sharding import Mesh

from train_lib import pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState

_RIDGE = 1e-2  # of the features' mean squared length


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'MeanFrame':
  """Reads data and fit_split, the split from which it learns."""
  del task, mesh, folder
  splits = []
  fit = pipeline.changed(config.data, split=config.fit_split)
  for data in (fit, config.data):
    frames, labels = [], []
    for x in pipeline.each_example(data):
      # In float64: what differs only in order has one mean.
      frames.append(x['image'].mean(axis=0, dtype=float))
      labels.append(x['label'])
    splits.append((np.stack(frames), np.stack(labels)))
  return MeanFrame(*splits)


class MeanFrame:
  """accuracy, whatever the state."""

  def __init__(self, train, test):
    """Fits.

    Args:
      train: mean frames [N, H, W, C] and labels [N].
      test: the same.
    """
    (x, labels), (test_x, test_labels) = train, test
    x, test_x = (a.reshape(len(a), -1) for a in (x, test_x))
    mean = x.mean(axis=0)
    x, test_x = x - mean, test_x - mean
    targets = np.eye(max(labels) + 1)[labels]
    products = x @ x.T
    ridge = _RIDGE * np.trace(products) / len(x) * np.eye(len(x))
    weights = np.linalg.solve(products + ridge, targets - targets.mean(axis=0))
    scores = test_x @ x.T @ weights + targets.mean(axis=0)
    # Classes that the mean frame cannot tell apart tie but for rounding.
    predictions = np.round(scores, 6).argmax(axis=1)
    self._accuracy = float(np.mean(predictions == test_labels))

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    return {'accuracy': self._accuracy}

"""What a linear model of the pixels reaches: what an image model must beat.

Ridge regression to one-hot labels, on images as evaluation sees them.
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
) -> 'LinearPixels':
  """Reads data, where to measure, fit_split, and num_fitted, how many images of
  that split to fit to."""
  del task, mesh, folder
  fit = pipeline.inherited(config.data, {'split': config.fit_split})
  return LinearPixels(
    _arrays(pipeline.few_examples(fit, config.num_fitted)),
    _arrays(pipeline.each_example(config.data)),
  )


class LinearPixels:
  """accuracy, whatever the state."""

  def __init__(self, train, test):
    """Fits.

    Args:
      train: images [N, H, W, C] and labels [N].
      test: the same.
    """
    (x, labels), (test_x, test_labels) = train, test
    x, test_x = (a.reshape(len(a), -1) for a in (x, test_x))
    mean = x.mean(axis=0)
    x, test_x = x - mean, test_x - mean
    targets = np.eye(max(labels) + 1)[labels]
    products = (x @ x.T).astype(np.float64)
    ridge = _RIDGE * np.trace(products) / len(x) * np.eye(len(x))
    weights = np.linalg.solve(products + ridge, targets - targets.mean(axis=0))
    scores = test_x @ (x.T @ weights) + targets.mean(axis=0)
    # Classes that the pixels cannot tell apart tie but for rounding.
    predictions = np.round(scores, 6).argmax(axis=1)
    self._accuracy = float(np.mean(predictions == test_labels))

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    return {'accuracy': self._accuracy}


def _arrays(examples) -> tuple[np.ndarray, np.ndarray]:
  images, labels = zip(*((x['image'], x['label']) for x in examples), strict=1)
  return np.stack(images), np.stack(labels)

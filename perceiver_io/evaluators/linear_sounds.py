"""What a classifier of sounds must beat: a linear one on the same spectrograms.

Logistic regression, one for each class, on the mean and the standard deviation
over time of every band, standardised; its probabilities are averaged over the
same clips.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np
from jax.sharding import Mesh
from sklearn import linear_model, multiclass, preprocessing
from sklearn import pipeline as sklearn_pipeline

from perceiver_io.evaluators import mean_average_precision
from train_lib import pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState

PyTree = Any


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'LinearSounds':
  """Reads data, where to measure, fit_split, and num_fitted, of whose examples
  at most so many are fitted to."""
  del task, mesh, folder  # It concerns the data alone.
  fit = pipeline.inherited(config.data, {'split': config.fit_split})
  num_fitted = min(config.num_fitted, len(pipeline.eval_examples(fit)))
  fitted = pipeline.few_examples(fit, num_fitted)
  measured = pipeline.eval_examples(config.data)
  return LinearSounds(linear_results(features(fitted), features(measured)))


class LinearSounds:
  """Results that do not depend on the state."""

  def __init__(self, results: dict[str, float]):
    self._results = results

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    return self._results


def features(examples: Sequence[PyTree]) -> tuple[np.ndarray, np.ndarray]:
  """Features [examples, N, 2 F] of N clips and labels [examples, K]."""
  found, labels = [], []
  for i in range(len(examples)):
    x = examples[i]['audio']
    found.append(np.concatenate([x.mean(axis=1), x.std(axis=1)], axis=-1))
    labels.append(examples[i]['labels'])
  return np.stack(found), np.stack(labels)


def linear_results(
  fitted: tuple[np.ndarray, np.ndarray], measured: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
  """As `mean_average_precision.results`, of a fit on `fitted`."""
  x, labels = fitted
  num_clips = x.shape[1]
  model = sklearn_pipeline.make_pipeline(
    preprocessing.StandardScaler(),
    multiclass.OneVsRestClassifier(
      linear_model.LogisticRegression(solver='newton-cholesky')
    ),
  )
  model.fit(x.reshape(-1, x.shape[-1]), np.repeat(labels, num_clips, axis=0))
  x, labels = measured
  scores = model.predict_proba(x.reshape(-1, x.shape[-1]))
  scores = scores.reshape(*x.shape[:2], -1).mean(axis=1)
  return mean_average_precision.results(scores, labels)

"""What a chess player must beat who does not know chess but its rules.

One baseline plays any legal move (its expected accuracy is given), the other of
the legal moves the one most frequent in training data.
"""

import collections
import pathlib

import ml_collections
import numpy as np
from jax.sharding import Mesh

from data.entities import chess_openings
from train_lib import pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'LegalMoves':
  """Reads data, examples of `chess_openings` to measure on, and fit_split."""
  del task, mesh, folder  # It concerns the data alone.
  fit = pipeline.inherited(config.data, {'split': config.fit_split})
  fitted, _ = pipeline.open_source(fit)
  measured, _ = pipeline.open_source(config.data)
  return LegalMoves(accuracies(fitted, measured))


class LegalMoves:
  """Accuracies that do not depend on the state."""

  def __init__(self, results: dict[str, float]):
    self._results = results

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    return self._results


def accuracies(fitted, measured) -> dict[str, float]:
  """Both baselines' on examples `measured`, moves counted on `fitted`.

  Of equally frequent moves that of the smallest number is played.
  """
  counts = collections.Counter(map(chess_openings.move, fitted))
  random, frequent = [], []
  for example in measured:
    legal = example['legal_moves'].tolist()
    best = max(legal, key=lambda move: (counts[move], -move))
    frequent.append(best == chess_openings.move(example))
    random.append(1 / len(legal))
  return {
    'random_accuracy': float(np.mean(random)),
    'frequent_accuracy': float(np.mean(frequent)),
  }

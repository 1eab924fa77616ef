"""What masked language models must beat: guessing by frequency.

The unigram baseline predicts the most frequent token everywhere; the bigram
baseline what most often follows the token before, where that one is not masked,
and the unigram's token elsewhere. Both are counted on the masked tokens of
training data (a space, the most frequent of all, is never masked) and measured
on those of the evaluation data.
"""

import itertools
import pathlib

import ml_collections
import numpy as np
from jax.sharding import Mesh

from train_lib import pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'MaskedBaselines':
  """Reads data, where to measure, and fit: split and num_examples to count."""
  del task, mesh, folder  # It concerns the data alone.
  fit = pipeline.inherited(config.data, {'split': config.fit.split})
  baselines = Baselines()
  examples = pipeline.each_example(fit)
  for example in itertools.islice(examples, config.fit.num_examples):
    baselines.count(example['targets'], example['loss_mask'] > 0)
  return MaskedBaselines(baselines, config.data)


class MaskedBaselines:
  """Measures once; what is measured does not depend on the state."""

  def __init__(
    self, baselines: 'Baselines', data_config: ml_collections.ConfigDict
  ):
    self._baselines = baselines
    self._data_config = data_config
    self._results = None

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    if self._results is None:
      self._results = accuracies(
        self._baselines, pipeline.each_example(self._data_config)
      )
    return self._results


class Baselines:
  """Counts of tokens and of pairs of neighbours."""

  def __init__(self):
    self._tokens: dict[int, int] = {}
    self._pairs: dict[tuple[int, int], int] = {}

  def count(self, ids: np.ndarray, masked: np.ndarray) -> None:
    """Counts the masked tokens of a sequence [M] and what each comes after."""
    pairs = np.stack([ids[:-1], ids[1:]], axis=1)[masked[1:]]
    for x, axis, counts in (
      (ids[masked], None, self._tokens),
      (pairs, 0, self._pairs),
    ):
      found, times = np.unique(x, axis=axis, return_counts=True)
      for key, n in zip(found.tolist(), times.tolist(), strict=True):
        key = key if axis is None else tuple(key)
        counts[key] = counts.get(key, 0) + n

  def predictors(self) -> tuple[int, dict[int, int]]:
    """The most frequent token, and token -> its most frequent successor.

    Of equally frequent ones the smallest.
    """
    unigram = min(self._tokens, key=lambda x: (-self._tokens[x], x))
    best: dict[int, tuple[int, int]] = {}
    for (before, x), n in self._pairs.items():
      best[before] = min(best.get(before, (0, 0)), (-n, x))
    return unigram, {before: x for before, (_, x) in best.items()}


def accuracies(baselines: Baselines, examples) -> dict[str, float]:
  """Share of the masked tokens of the examples that each predicts."""
  unigram, successors = baselines.predictors()
  hits = np.zeros(2, np.int64)
  total = 0
  for example in examples:
    targets, masked = example['targets'], example['loss_mask'] > 0
    for i in np.flatnonzero(masked):
      bigram = unigram
      if i > 0 and not masked[i - 1]:
        bigram = successors.get(int(targets[i - 1]), unigram)
      hits += targets[i] == unigram, targets[i] == bigram
      total += 1
  return {
    'unigram_accuracy': float(hits[0]) / total,
    'bigram_accuracy': float(hits[1]) / total,
  }

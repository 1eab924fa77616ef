"""What the training loop knows of a model, its loss and its metrics."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import ml_collections

from train_lib import metrics

PyTree = Any


class LossAux(NamedTuple):
  """What a loss returns beside its value.

  Attributes:
    model_state: the mutable collections after the step (`batch_stats`, ...),
      {} if the model has none.
    scalars: name -> scalar, logged beside the loss.
    weight: what the loss is a mean over (examples, tokens). Gradient
      accumulation weighs micro-batches by it, so that their mean is the mean
      over the whole batch.
  """

  model_state: PyTree
  scalars: dict[str, jax.Array]
  weight: jax.Array | float = 1.0


class Task(Protocol):
  """A model, its loss and its metrics; the docstring names the batch's keys.

  `variables` is {'params': ..., **model_state}. Every batch has `mask` [B]: 1
  for examples, 0 for padding.

  A task may have `start`, None or a function (variables, batch, rng) ->
  variables: what a new run's variables become when they see the first batch,
  before any step, such as centroids by k-means.

  A task may also have `label_ranges`, see `label_ranges_of`.
  """

  def init(self, rng: jax.Array, batch: PyTree) -> PyTree:
    """Returns new variables for batches shaped like `batch`."""

  def loss(
    self, variables: PyTree, batch: PyTree, rng: jax.Array
  ) -> tuple[jax.Array, LossAux]:
    """The scalar to minimise on a training batch."""

  def metrics(
    self, variables: PyTree, batch: PyTree
  ) -> dict[str, metrics.Metric]:
    """Mergeable, masked, deterministic metrics of an evaluation batch."""

  def predict(self, variables: PyTree, batch: PyTree) -> PyTree:
    """Outputs per example, for evaluators, export and users."""


def make_task(config: ml_collections.ConfigDict) -> Task:
  """Builds the task of `config.task.module`, a dotted path.

  The module's own `make_task` gets two sections: `config.task`, where the
  task's other options stand, and `config.model`.
  """
  path = config.task.module
  try:
    module = importlib.import_module(path)
  except ModuleNotFoundError as e:
    if e.name is not None and not path.startswith(e.name):
      raise  # the task exists, something that it imports does not
    raise ValueError(
      f'config.task.module: no module {path!r}; expected a dotted path such '
      "as 'paca_vit.tasks.classification'."
    ) from e
  return module.make_task(config.task, config.model)


def label_ranges_of(task: Task) -> dict[str, tuple[int, int | None]]:
  """What the pipeline checks labels for, before they come to a device.

  There a label out of range is no error: it counts from the end, or is no class
  at all, and the loss looks plausible.

  Returns:
    The key of integer labels in an example -> the number of classes, and the
    label that is ignored or None.
  """
  return getattr(task, 'label_ranges', {})


def function_named(path: str) -> Callable:
  """What a dotted path in a config names, such as 'baselines.bert.Bert'."""
  module, _, name = path.rpartition('.')
  return getattr(importlib.import_module(module), name)

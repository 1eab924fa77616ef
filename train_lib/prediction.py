"""Predictions of a trained run for inputs that users have.

What inputs look like and what becomes of outputs is the business of a module
that the task's module names as PREDICTIONS, which has

  make_predictions(config, classes) -> Predictions
"""

import concurrent.futures
import importlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import ml_collections
import numpy as np
import PIL.Image

from train_lib import batch_layout, pipeline, run_files, sharding, trained
from train_lib.task import Task

PyTree = Any
_NUM_THREADS = 8


class Prediction(NamedTuple):
  """Of one input.

  Attributes:
    input: what it was, as text.
    values: name -> text or number; {} if it could not be read.
    pictures: suffix of a file -> its picture.
    error: why it could not be read, or None.
    details: what `Predictions.summary` needs beside, if anything.
  """

  input: str
  values: dict[str, Any]
  pictures: dict[str, PIL.Image.Image]
  error: str | None
  details: Any = None


class Predictions(Protocol):
  """How inputs are read and outputs told, for one kind of task.

  Attributes:
    batch_size: how many examples of one shape are predicted at once, rounded up
      to what the devices share; 1 where shapes differ.
  """

  batch_size: int

  def expand(self, given: str) -> list[Any]:
    """The inputs that an argument of a command line names, such as a folder's.

    Raises ValueError or OSError naming it if it names none.
    """

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """An input as the evaluation's `preprocess` gives it; else ValueError."""

  def outputs(self, task: Task, variables: PyTree, batch: PyTree) -> PyTree:
    """What is needed of `task.predict`, with a leading batch dimension."""

  def result(
    self, given: Any, output: PyTree
  ) -> tuple[dict[str, Any], dict[str, PIL.Image.Image]]:
    """`values` and `pictures` of a Prediction; `details` where there are.

    A kind that has details also has `summary(predictions) -> {name: text}`,
    files that are written once for all inputs.
    """


class Predictor:
  """A trained run, as a function of inputs."""

  def __init__(
    self, config: ml_collections.ConfigDict, workdir: str, best: bool = False
  ):
    """Opens a run.

    Args:
      config: the run's.
      workdir: the run's.
      best: the best checkpoint instead of the last.

    Raises:
      ValueError: the run's task has no predictions.
    """
    module = importlib.import_module(config.task.module)
    if not hasattr(module, 'PREDICTIONS'):
      raise ValueError(
        'config.task.module: there are no predictions for '
        f'{config.task.module}.'
      )
    kind = importlib.import_module(module.PREDICTIONS)
    self._kind = kind.make_predictions(config, run_files.read_classes(workdir))
    self._config, self._workdir, self._best = config, workdir, best
    self._mesh = sharding.make_mesh(config.mesh)
    self._sharding = sharding.batch_sharding(self._mesh)
    shards = sharding.num_shards(self._sharding)
    self._batch_size = -(-self._kind.batch_size // shards) * shards
    self._apply = None

  def __call__(self, inputs: Sequence[Any]) -> list[Prediction]:
    """Predicts, in order; what cannot be read has an error instead.

    Args:
      inputs: paths of files, or whatever else the kind of task takes.
    """
    found = list(self.stream(inputs))
    return [x for _, x in sorted(found, key=lambda pair: pair[0])]

  def expand(self, given: str) -> list[Any]:
    """The inputs that an argument of a command line names."""
    return self._kind.expand(given)

  def summary(self, predictions: Sequence[Prediction]) -> dict[str, str]:
    """Name -> text of files about all inputs that could be read."""
    if not hasattr(self._kind, 'summary'):
      return {}
    return self._kind.summary(predictions)

  def stream(self, inputs: Iterable[Any]) -> Iterator[tuple[int, Prediction]]:
    """(place, prediction) of each input, as soon as its batch is full."""
    waiting = defaultdict(list)
    for i, given, example in self._examples(inputs):
      if isinstance(example, Exception):
        text = ' '.join(str(example).split())
        yield i, Prediction(_as_text(given), {}, {}, text)
        continue
      shapes = tuple((k, x.shape) for k, x in sorted(example.items()))
      waiting[shapes].append((i, given, example))
      if len(waiting[shapes]) == self._batch_size:
        yield from self._predict(waiting.pop(shapes))
    for group in waiting.values():
      yield from self._predict(group)

  def _examples(self, inputs):
    """(place, input, example or what went wrong), read ahead by threads."""

    def read(given):
      try:
        return self._kind.example(given)
      except (ValueError, OSError) as e:
        return e

    inputs = enumerate(inputs)
    with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
      ahead = []
      while True:
        room = 2 * self._batch_size - len(ahead)
        for i, given in itertools.islice(inputs, room):
          ahead.append((i, given, pool.submit(read, given)))
        if not ahead:
          return
        i, given, future = ahead.pop(0)
        yield i, given, future.result()

  def _predict(self, group) -> Iterator[tuple[int, Prediction]]:
    padding = jax.tree.map(np.zeros_like, group[0][2])
    batch = batch_layout.collate(
      [example for _, _, example in group],
      [padding] * (self._batch_size - len(group)),
    )
    batch = batch_layout.to_global(self._sharding, self._batch_size, batch)
    if self._apply is None:
      self._apply = self._load(batch)
    outputs = jax.device_get(self._apply(batch))
    for row, (i, given, _) in enumerate(group):
      output = jax.tree.map(lambda x, row=row: x[row], outputs)
      values, pictures, *details = self._kind.result(given, output)
      yield i, Prediction(_as_text(given), values, pictures, None, *details)

  def _load(self, batch: PyTree) -> Callable[[PyTree], PyTree]:
    task, state = trained.load(
      self._config, self._workdir, self._mesh, batch, self._best
    )
    apply = sharding.jit_on_batches(
      self._mesh,
      lambda variables, batch: self._kind.outputs(task, variables, batch),
    )
    return lambda batch: apply(state.eval_variables, batch)


def evaluation(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The evaluator's section whose `data` predictions follow, all written out.

  The first that reads the training's kind of data; without, one that evaluates
  as it is trained.
  """
  for section in config.evals.values():
    data = pipeline.inherited(config.data, section.data)
    if data.module == config.data.module:
      return ml_collections.ConfigDict({**section, 'data': data})
  return ml_collections.ConfigDict({'data': config.data})


def _as_text(given: Any) -> str:
  return str(given) if not isinstance(given, bytes | np.ndarray) else '<data>'

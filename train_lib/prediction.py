"""Predictions of a trained run for inputs that users have.

What inputs look like and what becomes of outputs is the business of a module
that the task's module names as PREDICTIONS, which has

  make_predictions(config, classes, **options) -> Predictions

whose options are its keyword-only arguments, with defaults.
"""

import collections
import concurrent.futures
import functools
import importlib
import inspect
import itertools
import operator
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import ml_collections
import numpy as np
import PIL.Image

from train_lib import (
  batch_layout,
  in_parts,
  pipeline,
  run_files,
  sharding,
  trained,
)
from train_lib.task import Task

PyTree = Any
File = PIL.Image.Image | np.ndarray | bytes | Callable[[str], None]
_NUM_THREADS = 2 * (os.cpu_count() or 1)  # some wait for files
_READ_TOGETHER = 8  # at most, by a thread: to hand over one takes time, too
_LONGEST_NAME = 200  # letters, of an input in an error


class Prediction(NamedTuple):
  """Of one input.

  Attributes:
    input: what it was, as text.
    values: name -> text or number; {} if it could not be read.
    files: suffix of a file -> what it holds: a picture, an array that NumPy
      saves, bytes, or a function that writes it to a path.
    error: why it could not be read, or None.
    details: what `Predictions.summary` needs beside, if anything.
  """

  input: str
  values: dict[str, Any]
  files: dict[str, File]
  error: str | None
  details: Any = None


class Predictions(Protocol):
  """How inputs are read and outputs told, for one kind of task.

  Attributes:
    batch_size: how many examples of one shape are predicted at once, rounded up
      to what the devices share; 1 where shapes differ.

  May also have `joined`, (inputs that arguments named) -> inputs, if several of
  them make one, such as two images; and `model_batch`, (batch) -> batch, if the
  model is made for other shapes than those of inputs.
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
  ) -> tuple[dict[str, Any], dict[str, File]]:
    """`values` and `files` of a Prediction; `details` where there are.

    A kind that has details also has `summary(predictions) -> {name: text}`,
    files that are written once for all inputs; or functions that write them to
    a path, beside which the inputs' files are.
    """


class Predictor:
  """A trained run, as a function of inputs."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    workdir: str,
    best: bool = False,
    options: Mapping[str, Any] | None = None,
    kind: Predictions | None = None,
  ):
    """Opens a run.

    Args:
      config: the run's.
      workdir: the run's.
      best: the best checkpoint instead of the last.
      options: of the kind of predictions; numbers may be texts.
      kind: another than `make_kind` makes of these.

    Raises:
      ValueError: the run's task has no predictions, or no such option.
    """
    self._kind = kind or make_kind(config, workdir, options or {})
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

  def expand(self, arguments: Sequence[str]) -> tuple[list[Any], list[str]]:
    """The inputs that a command line names, and what is wrong with the rest."""
    inputs, wrong = [], []
    for given in arguments:
      try:
        inputs += self._kind.expand(given)
      except (ValueError, OSError) as e:
        wrong.append(' '.join(str(e).split()))
    if hasattr(self._kind, 'joined') and not wrong:
      try:
        inputs = self._kind.joined(inputs)
      except ValueError as e:
        return [], [str(e)]
    return inputs, wrong

  def summary(
    self, predictions: Sequence[Prediction]
  ) -> dict[str, str | Callable[[pathlib.Path], None]]:
    """Name -> file about all inputs that could be read: a text, or a function
    that writes it to a path."""
    if not hasattr(self._kind, 'summary'):
      return {}
    return self._kind.summary(predictions)

  def stream(self, inputs: Iterable[Any]) -> Iterator[tuple[int, Prediction]]:
    """(place, prediction) of each input, when the next batch is on its way: the
    device never waits."""
    running = iter(())
    for group in self._groups(inputs):
      started = self._start(group)
      yield from running
      running = started
    yield from running

  def _groups(self, inputs):
    """Batches of (place, input, example); what cannot be read by itself."""
    waiting = collections.defaultdict(list)
    for found in self._examples(inputs):
      *_, example = found
      if isinstance(example, Exception):
        yield [found]
        continue
      shapes = tuple((k, x.shape) for k, x in sorted(example.items()))
      waiting[shapes].append(found)
      if len(waiting[shapes]) == self._batch_size:
        yield waiting.pop(shapes)
    yield from waiting.values()

  def _examples(self, inputs):
    """(place, input, example or what went wrong), read ahead by threads."""

    def read(given):
      try:
        return self._kind.example(given)
      except (ValueError, OSError) as e:
        return e

    def read_all(numbered):
      return [(i, given, read(given)) for i, given in numbered]

    # Few inputs, which may be long films, are spread over all threads.
    share = operator.length_hint(inputs) // (4 * _NUM_THREADS)
    together = min(max(share, 1), _READ_TOGETHER)
    inputs, ahead = enumerate(inputs), collections.deque()
    with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
      while True:
        while len(ahead) < 2 * self._batch_size / together:
          if not (numbered := list(itertools.islice(inputs, together))):
            break
          ahead.append(pool.submit(read_all, numbered))
        if not ahead:
          return
        yield from ahead.popleft().result()

  def _start(self, group) -> Iterator[tuple[int, Prediction]]:
    """Begins to compute a group's predictions, and returns them."""
    i, given, example = group[0]
    if isinstance(example, Exception):
      return iter([(i, _unread(given, example))])
    missing = self._batch_size - len(group)
    padding = [jax.tree.map(np.zeros_like, example)] * missing
    batch = batch_layout.collate([x for *_, x in group], padding)
    batch = batch_layout.to_global(self._sharding, self._batch_size, batch)
    if self._apply is None:
      self._apply = self._load(batch)
    return self._results(group, list(self._apply(batch, len(group))))

  def _results(self, group, parts: Sequence[PyTree]):
    outputs = in_parts.joined(parts)
    for row, (i, given, _) in enumerate(group):
      output = jax.tree.map(lambda x, row=row: x[row], outputs)
      values, files, *details = self._kind.result(given, output)
      yield i, Prediction(_as_text(given), values, files, None, *details)

  def _load(self, batch: PyTree) -> Callable[[PyTree, int], Iterator]:
    shaped = getattr(self._kind, 'model_batch', lambda batch: batch)(batch)
    task, state = trained.load(
      self._config, self._workdir, self._mesh, shaped, self._best
    )
    outputs = functools.partial(self._kind.outputs, task)
    apply = in_parts.InParts(self._mesh, outputs)
    return functools.partial(apply, state.eval_variables)


def make_kind(
  config: ml_collections.ConfigDict, workdir: str, options: Mapping[str, Any]
) -> Predictions:
  """What the module makes that the task's module names as PREDICTIONS.

  Args:
    config: the run's.
    workdir: the run's.
    options: of the kind of predictions; numbers may be texts.

  Raises:
    ValueError: the run's task has no predictions, or no such option.
  """
  module = importlib.import_module(config.task.module)
  if not hasattr(module, 'PREDICTIONS'):
    raise ValueError(
      f'config.task.module: there are no predictions for {config.task.module}.'
    )
  kind = importlib.import_module(module.PREDICTIONS)
  return kind.make_predictions(
    config,
    run_files.read_classes(workdir),
    **_checked(kind.make_predictions, options),
  )


def evaluation(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The evaluator's section whose `data` predictions follow, all written out.

  Of those that read the training's kind of data the one that decides what is
  best, or the first; without, one that evaluates as it is trained.
  """
  best = (config.checkpoint.best_metric or '').partition('/')[0]
  for _, section in sorted(config.evals.items(), key=lambda x: x[0] != best):
    data = pipeline.inherited(config.data, section.data)
    if data.module == config.data.module:
      return ml_collections.ConfigDict({**section, 'data': data})
  return ml_collections.ConfigDict({'data': config.data})


def _checked(make: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
  """Options in the types of their defaults."""
  known = {
    name: x.default
    for name, x in inspect.signature(make).parameters.items()
    if x.kind is inspect.Parameter.KEYWORD_ONLY
  }
  checked = {}
  for name, value in options.items():
    if name not in known:
      raise ValueError(
        f'--option: found {name!r}; expected one of {sorted(known)}.'
      )
    try:
      checked[name] = type(known[name])(value)
    except ValueError:
      raise ValueError(
        f'--option: {name}: expected {type(known[name]).__name__}, found '
        f'{value!r}.'
      ) from None
  return checked


def _unread(given: Any, error: Exception) -> Prediction:
  """Of an input that cannot be read: its error, which names it."""
  name, text = _as_text(given), ' '.join(str(error).split())
  if name not in text and len(name) <= _LONGEST_NAME:
    text = f'{name}: {text}'
  return Prediction(name, {}, {}, text)


def _as_text(given: Any) -> str:
  is_data = isinstance(given, bytes | np.ndarray | Mapping)
  return '<data>' if is_data else str(given)

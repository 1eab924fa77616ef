"""From a data set to batches on the mesh.

`config.data` holds what follows; the data section of an evaluator names what is
different there (`inherited`).

  module: a data module, such as 'data.images.mnist5k', which has
    source(split, data_dir) -> a random access sequence of raw examples
    synthetic(split) -> the same, invented
    preprocess(example, *, train, rng, <options>) -> {name: numpy array}
    select(source, **options) -> source, if not all are trained on
    on_device(**options) -> None, or (batch, keys) -> batch: see `on_device`
    group(example, *, rng, **options), of the same draws as `preprocess`, if
      not all training examples have the same shapes: those of a group have
  split: which part of the data set.
  source: 'real' or 'synthetic', made up in the real format.
  data_dir: where TFDS keeps data sets; None for its default.
  batch_size: examples in a batch of all processes together.
  preprocess: the options of the module's `preprocess`.
  num_workers: processes that preprocess beside this one; 0 for none. They take
    seconds to start and pay where Python itself, not PIL, is the bottleneck.
  num_threads: threads per process, each making one batch ahead of time; 0 to
    make a batch when it is asked for.
"""

import contextlib
import functools
import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grain
import jax
import ml_collections
import numpy as np

from train_lib import batch_layout, checks, on_device, prefetch

PyTree = Any

_SOURCE = 'data (module, split, source and number of examples)'


class _Batches:
  """What batches of both kinds have.

  Attributes:
    element_spec: shapes, types and shardings of a batch.
  """

  def __init__(
    self,
    examples: grain.MapDataset,
    data_config: ml_collections.ConfigDict,
    sharding: jax.sharding.NamedSharding,
    batched: Callable[..., grain.MapDataset],
  ):
    batch_size = data_config.batch_size
    rows = batch_layout.local_rows(sharding, batch_size)
    self._batches = batched(examples, batch_size, rows)
    self._prefetch = prefetch.make_prefetch(data_config)
    self._to_global = functools.partial(
      batch_layout.to_global, sharding, batch_size
    )
    self.element_spec = batch_layout.batch_spec(
      examples[0], batch_size, sharding
    )


class TrainIterator(_Batches):
  """Endless batches, in an order that only seed and batch size decide.

  Yields pytrees of global arrays [B, ...] with `mask` [B] of ones. Epochs
  follow each other without a break: each is a new permutation of the data set,
  and a batch may hold the end of one and the start of the next.
  """

  def __init__(
    self,
    examples: grain.MapDataset,
    data_config: ml_collections.ConfigDict,
    sharding: jax.sharding.NamedSharding,
    groups: grain.MapDataset | None = None,
    seed: int = 0,
  ):
    batched = functools.partial(batch_layout.train_batches, groups=groups)
    super().__init__(examples, data_config, sharding, batched)
    self._order = _order(examples, data_config, seed)
    self.set_state({'next_batch': 0})

  def __iter__(self) -> 'TrainIterator':
    return self

  def __next__(self) -> PyTree:
    batch = self._to_global(next(self._iterator))
    self._next_batch += 1
    return batch

  def get_state(self) -> dict[str, int]:
    """What a checkpoint needs: the index of the batch that comes next, and what
    the order of all depends on."""
    return {'next_batch': self._next_batch, **self._order}

  def set_state(self, state: dict[str, int], may_differ: bool = False):
    """Continues where `get_state` was called, on any number of processes.

    Args:
      state: that it returned.
      may_differ: go on although examples then are skipped or seen twice.

    Raises:
      ValueError: data set, seed or batch size are not what they were.
    """
    for name, found in self._order.items():
      expected = int(state.get(name, found))
      if found != expected and not may_differ:
        said = '' if name == _SOURCE else f' {found}'
        was = 'another' if name == _SOURCE else f'{expected}'
        raise ValueError(
          f'config.{name}: found{said or " this"}; the checkpoint was trained '
          f'with {was}, so that examples would be skipped or seen twice. '
          'Expected the same, or --data_may_differ to go on all the same.'
        )
    self._next_batch = int(state['next_batch'])
    self._iterator = self._prefetch(self._batches[self._next_batch :])


class EvalBatches(_Batches):
  """Every example once, in order; may be iterated any number of times.

  Yields pytrees of global arrays [B, ...]; zeros fill up the last batch, and
  `mask` [B] is 0 there. All processes see the same number of batches.

  Attributes:
    num_examples: how many there are.
  """

  def __init__(
    self,
    examples: grain.MapDataset,
    data_config: ml_collections.ConfigDict,
    sharding: jax.sharding.NamedSharding,
  ):
    super().__init__(examples, data_config, sharding, batch_layout.eval_batches)
    self.num_examples = len(examples)

  def __len__(self) -> int:
    return len(self._batches)

  def __iter__(self) -> Iterator[PyTree]:
    return map(self._to_global, self._prefetch(self._batches))


def make_train_iterator(
  data_config: ml_collections.ConfigDict,
  *,
  seed: int,
  sharding: jax.sharding.NamedSharding,
  label_ranges: checks.LabelRanges | None = None,
) -> TrainIterator:
  """Builds the training batches.

  Args:
    data_config: see the top of this file.
    seed: of the order and of every example's augmentation.
    sharding: of a batch's leading dimension.
    label_ranges: what every example is checked for.
  """
  source, module = open_source(data_config)
  source, preprocess = _for_training(data_config, source, module)
  preprocess = checks.checked(source, preprocess, data_config, label_ranges)
  examples = train_examples(range(len(source)), preprocess, seed)
  groups = None
  if hasattr(module, 'group'):
    group = functools.partial(module.group, **data_config.preprocess)
    groups = train_examples(source, group, seed)
  return TrainIterator(examples, data_config, sharding, groups, seed)


def _order(examples, data_config, seed) -> dict[str, int]:
  """What the order of the examples depends on, by the options' names."""
  source = (data_config.module, data_config.split, data_config.source)
  return {
    'seed': seed,
    'data.batch_size': data_config.batch_size,
    _SOURCE: zlib.crc32('|'.join((*source, str(len(examples)))).encode()),
  }


def make_eval_batches(
  data_config: ml_collections.ConfigDict,
  *,
  sharding: jax.sharding.NamedSharding,
  label_ranges: checks.LabelRanges | None = None,
) -> EvalBatches:
  """Builds the batches of an evaluation.

  Args:
    data_config: see the top of this file.
    sharding: of a batch's leading dimension.
    label_ranges: what every example is checked for.
  """
  examples = eval_examples(data_config, label_ranges)
  return EvalBatches(examples, data_config, sharding)


def eval_preprocess(module, data_config) -> Callable[[Any], PyTree]:
  """A data module's `preprocess`, as evaluations call it."""
  return functools.partial(
    module.preprocess, train=False, rng=None, **data_config.preprocess
  )


def each_example(data_config: ml_collections.ConfigDict) -> Iterator[PyTree]:
  """`eval_examples`, one after the other; nothing is read ahead."""
  examples = eval_examples(data_config)
  return (examples[i] for i in range(len(examples)))


def eval_examples(
  data_config: ml_collections.ConfigDict,
  label_ranges: checks.LabelRanges | None = None,
) -> grain.MapDataset:
  """All examples in order, each preprocessed when it is asked for."""
  source, module = open_source(data_config)
  preprocess = eval_preprocess(module, data_config)
  # Indices through Grain, records past it: its counters cost more than a small
  # record's whole preprocessing.
  return grain.MapDataset.range(len(source)).map(
    checks.checked(source, preprocess, data_config, label_ranges)
  )


def inherited(
  data_config: Mapping[str, Any], changes: Mapping[str, Any]
) -> ml_collections.ConfigDict:
  """The section of a run's data with some options changed, as evaluators do.

  Args:
    data_config: see the top of this file.
    changes: options and their values; those of `preprocess` one by one, unless
      `module` is another one: then all are as `changes` has them.
  """
  data = {**data_config, **changes}
  if data['module'] == data_config['module']:
    own = changes.get('preprocess', {})
    data['preprocess'] = {**data_config['preprocess'], **own}
  else:
    data['preprocess'] = {**changes.get('preprocess', {})}
  return ml_collections.ConfigDict(data)


def training_example(data_config: ml_collections.ConfigDict) -> PyTree:
  """One, as the model sees it in training; to learn what shapes there are."""
  source, module = open_source(data_config)
  with contextlib.redirect_stdout(None):  # Training says what it leaves out.
    source, preprocess = _for_training(data_config, source, module)
  example = preprocess(source[0], rng=np.random.default_rng(0))
  return on_device.example_seen(data_config, example)


def _for_training(data_config, source, module):
  """(the raw examples to train on, the module's preprocess)."""
  options = data_config.preprocess
  if hasattr(module, 'select'):
    source = module.select(source, **options)
  return source, functools.partial(module.preprocess, train=True, **options)


def few_examples(
  data_config: ml_collections.ConfigDict, num_examples: int
) -> list[PyTree]:
  """Some to look at, as an evaluation sees them: `spread` over all."""
  examples = eval_examples(data_config)
  return [examples[i] for i in spread(len(examples), num_examples)]


def spread(length: int, num: int) -> list[int]:
  """`num` rows from the first to the last of a data set, which may be sorted by
  class."""
  return np.linspace(0, length - 1, num).astype(int).tolist()


def train_examples(source, preprocess, seed: int) -> grain.MapDataset:
  """The endless stream of examples: the same for any number of processes.

  Grain derives an example's rng from the seed and its position in the stream.
  """
  order = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat()
  return order.random_map(lambda index, rng: preprocess(source[index], rng=rng))


def open_source(data_config):
  """(raw examples, data module)

  Raises:
    ValueError, FileNotFoundError: of a data set that cannot be used; begin with
      the name of an option.
  """
  module = importlib.import_module(data_config.module)
  split, data_dir = data_config.split, data_config.data_dir
  if data_config.source == 'real':
    try:
      source = module.source(split, data_dir)
    except (ValueError, FileNotFoundError) as e:
      if data_dir is None or str(e).startswith('config.'):
        raise
      raise type(e)(f'config.data.data_dir: {e}') from e
  elif data_config.source == 'synthetic':
    source = module.synthetic(split)
  else:
    raise ValueError(
      "config.data.source: expected 'real' or 'synthetic', found "
      f'{data_config.source!r}.'
    )
  if not len(source):
    raise ValueError(
      f'config.data.split: {split!r} of {data_config.module} is empty.'
    )
  return source, module

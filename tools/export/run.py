"""A run's predictions as one function of named arrays, to be exported.

Letters: B batch.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from tools import made_up
from train_lib import batch_layout, sharding, trained, weights
from train_lib.task import Task

PyTree = Any
Arrays = dict[str, Any]
# Logits of what an example does not have are -1e9; no output is as large.
NONE = 1e8


class Exportable(NamedTuple):
  """Attributes:
  config: the run's, as it is exported: in float32, layers one by one.
  task: of the config.
  variables: what evaluations use, numpy arrays.
  predict: maps named arrays [B, ...] to named arrays [B, ...], for any B.
  inputs: made-up examples for it, numpy arrays [B, ...].
  outputs: names of the outputs, sorted, and shapes of theirs.
  resized: whether another size than the training's was asked for.
  """

  config: ml_collections.ConfigDict
  task: Task
  variables: PyTree
  predict: Callable[[Arrays], Arrays]
  inputs: Arrays
  outputs: dict[str, jax.ShapeDtypeStruct]
  resized: bool

  def batch(self, size: int) -> Arrays:
    """Examples [size, ...], each shifted further: none stands for another."""
    return {
      name: np.concatenate(
        [np.roll(x, i, 1) if x.ndim > 1 else x for i in range(size)]
      )
      for name, x in self.inputs.items()
    }


def plain(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The config with what other runtimes are best at: no loops, float32."""
  config = config.copy_and_resolve_references()
  config.unlock()
  if config.model.get('scan_layers'):
    config.model.scan_layers = False
  if config.model.get('dtype'):
    config.model.dtype = 'float32'
  config.mesh = dict.fromkeys(config.mesh, 1)
  return config.lock()


def load(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  best: bool = False,
  size: tuple[int, ...] = (),
  outputs: Collection[str] = (),
  parameters: str = 'float32',
) -> Exportable:
  """Opens a run; reads no data set.

  Args:
    config: the run's.
    workdir: the run's, or that of imported weights.
    best: the best checkpoint instead of the last.
    size: (height, width) of images or (length,) of texts; the training's if
      empty.
    outputs: what to export of the predictions; all if empty.
    parameters: type that they are rounded to and stored in.

  Raises:
    FileNotFoundError: there is no checkpoint.
    ValueError: it does not fit the config; or a name of `outputs` or a `size`
      that the task does not have.
  """
  config = plain(config)
  resized = bool(size)
  example, size = _example(config, workdir, size)
  batch = batch_layout.collate([example])
  mesh = sharding.make_mesh(config.mesh, jax.devices()[:1])
  task, state = trained.load(
    config, workdir, mesh, jax.tree.map(_spec, batch), best
  )
  variables = jax.tree.map(
    lambda x: x.astype(parameters) if x.dtype == np.float32 else x,
    jax.device_get(state.eval_variables),
  )
  read = set()

  class Noting(dict):
    """Notes what the task looks at."""

    def __getitem__(self, name):
      read.add(name)
      return super().__getitem__(name)

    def get(self, name, default=None):
      return self[name] if name in self else default

  def predict_all(inputs):
    wide = jax.tree.map(widened, variables)
    found = task.predict(wide, Noting(inputs))
    return flax.traverse_util.flatten_dict(found, sep='/')

  def predict(inputs):
    found = predict_all(inputs)
    return {name: found[name] for name in chosen}

  predicted = jax.eval_shape(predict_all, jax.tree.map(_spec, batch))
  tops = {name: name.partition('/')[0] for name in predicted}
  missing = set(outputs) - set(tops.values())
  if missing:
    raise ValueError(
      f'--outputs: the task has no {sorted(missing)}, but '
      f'{sorted(set(tops.values()))}.'
    )
  chosen = sorted(x for x in tops if not outputs or tops[x] in outputs)
  inputs = {name: _sized(batch[name], size) for name in sorted(read)}
  if size:
    if all(x.shape == batch[name].shape for name, x in inputs.items()):
      raise ValueError(
        f'--size: found {list(size)}, but no input has such a size: '
        f'{ {name: x.shape[1:] for name, x in inputs.items()} }.'
      )
    _check_takes(predict, inputs)
  return Exportable(
    config=config,
    task=task,
    variables=variables,
    predict=predict,
    inputs=inputs,
    outputs={name: predicted[name] for name in chosen},
    resized=resized,
  )


def _example(config, workdir, size):
  """A made-up example, and what of the size is left to be asked of it."""
  if config.data.module != made_up.ARRAYS:
    return made_up.example(config), size
  path = (
    config.init_from.path if trained.is_imported(config, workdir) else (workdir)
  )
  variables = weights.read_variables(path)
  names = flax.traverse_util.flatten_dict(variables, sep='/')
  if len(size) > 1:
    raise ValueError(
      f'--size: found {list(size)}, expected a number of elements.'
    )
  return made_up.example(config, names, *size), ()


def widened(x):
  return x if x.dtype.kind in 'biu' else jnp.asarray(x).astype(jnp.float32)


def _spec(x):
  return jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype))


def _check_takes(predict, inputs):
  try:
    jax.eval_shape(predict, jax.tree.map(_spec, inputs))
  except (TypeError, ValueError) as e:
    text = str(e).partition('\n')[0]
    raise ValueError(f'--size: the model does not take it: {text}') from e


def _sized(x, size):
  """An example with images of another height and width, or another length."""
  x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype))
  shape = x.shape
  if len(size) == 2 and x.ndim >= 4:
    shape = (*shape[:-3], *size, shape[-1])
  elif len(size) == 1 and x.ndim == 2:
    shape = (shape[0], *size)
  return x if shape == x.shape else np.resize(x, shape)


def scale(x: np.ndarray) -> float:
  """The largest magnitude of an output, without stand-ins for none, -1e9."""
  x = np.abs(np.asarray(x, np.float64))
  return float(x[x < NONE].max(initial=0))

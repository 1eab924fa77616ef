"""What a data module leaves to the device of a training batch's preparation.

Its function on_device(**options of `preprocess`) returns it as a function of
examples, (batch, keys [B]) -> batch, or None where nothing is left. Every
device calls it with the examples that it has.
"""

import importlib
import zlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np

from perceiver_paca.ops import mesh

PyTree = Any


def make_on_device(
  data_config: ml_collections.ConfigDict, seed: int
) -> Callable[[PyTree, jax.Array], PyTree] | None:
  """(batch, step) -> batch by the module's `on_device`; None for nothing.

  Args:
    data_config: see `pipeline`.
    seed: of what it draws, beside the step.
  """
  module = importlib.import_module(data_config.module)
  if not hasattr(module, 'on_device'):
    return None
  change = module.on_device(**data_config.preprocess)
  if change is None:
    return None

  def on_device(batch, step):
    # Not the key that the model draws from.
    rng = jax.random.fold_in(jax.random.key(seed), step)
    rng = jax.random.fold_in(rng, zlib.crc32(b'on_device'))
    keys = jax.random.split(rng, len(jax.tree.leaves(batch)[0]))
    return mesh.over_examples(change, batch, keys)

  return on_device


def example_seen(
  data_config: ml_collections.ConfigDict, example: PyTree
) -> PyTree:
  """An example in the shapes that the model sees after `make_on_device`'s.

  Args:
    data_config: see `pipeline`.
    example: numpy arrays, as `preprocess` returns it; what is not there yet is
      zeros.
  """
  change = make_on_device(data_config, seed=0)
  if change is None:
    return example
  batch = jax.tree.map(lambda x: x[None], example)
  seen = jax.eval_shape(change, batch, np.int32(0))
  zeros = {k: np.zeros(x.shape[1:], x.dtype) for k, x in seen.items()}
  return zeros | {k: v for k, v in example.items() if k in seen}

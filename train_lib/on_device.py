"""What a data module leaves to the device of a training batch's preparation.

Its function on_device(**options of `preprocess`) returns it as a function of a
whole batch, (batch, rng) -> batch, or None where nothing is left.
"""

import importlib
import zlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

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
    return change(batch, jax.random.fold_in(rng, zlib.crc32(b'on_device')))

  return on_device

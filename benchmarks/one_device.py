"""A config's train step on one device of this machine, on made-up examples."""

from typing import Any

import jax
import ml_collections

import train
from train_lib import setup, sharding


def make_train_step(
  config: ml_collections.ConfigDict,
  batch_size: int = 1,
  num_microbatches: int = 1,
) -> tuple[setup.Setup, Any]:
  """The run, and its jitted step: (state, batch) -> (state, scalars).

  Nothing is compiled yet.
  """
  config = config.copy_and_resolve_references()
  config.data.update(source='synthetic', batch_size=batch_size)
  config.optim.num_microbatches = num_microbatches
  mesh = sharding.make_mesh(dict.fromkeys(config.mesh, 1), jax.devices()[:1])
  run = setup.make_setup(config, mesh=mesh)
  return run, train.make_step(run, config)

"""A training step and a prediction of a config's model at its full size.

With a batch of one. Prints the peaks of the temporary arrays by XLA's analysis,
beside those of the same programs with all attention logits in memory and all
outputs decoded at once (which are compiled, not run), then runs both.

  python -m benchmarks.full_size --config=configs/perceiver_io/kinetics.py:784
"""

import functools
import resource
import time
from typing import Any, NamedTuple

import jax
import ml_collections
from absl import app, flags

import train
from train_lib import optim, runtime, sharding, train_state
from train_lib.data import pipeline
from train_lib.task import make_task


class Programs(NamedTuple):
  """Attributes:
  init: makes the state.
  batches: iterator.
  step: compiled, (state, batch) -> (state, scalars).
  predict: compiled, (variables, batch) -> outputs.
  """

  init: Any
  batches: pipeline.TrainIterator
  step: jax.stages.Compiled
  predict: jax.stages.Compiled


def make_programs(
  config: ml_collections.ConfigDict, *, bounded: bool
) -> Programs:
  """Compiles both; `bounded` as the config says, else all is held at once."""
  config = config.copy_and_resolve_references()
  config.data.update(source='synthetic', batch_size=1)
  if not bounded:
    with config.unlocked():
      config.model.encoder.implementation = 'plain'
    if 'decode_mib' in config:
      config.decode_mib = 1e9
  mesh = jax.sharding.Mesh(jax.devices()[:1], ('data',))
  task = make_task(config)
  batches = pipeline.make_train_iterator(
    config.data, seed=config.seed, sharding=sharding.batch_sharding(mesh)
  )
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  state, init = train_state.create(
    task, tx, batches.element_spec, config.seed, mesh, [('.*', ())]
  )
  step = functools.partial(
    train.train_step, task=task, tx=tx, seed=config.seed, num_microbatches=1
  )
  step = jax.jit(step, donate_argnums=0).lower(state, batches.element_spec)
  predict = jax.jit(task.predict).lower(
    {'params': state.params, **state.model_state}, batches.element_spec
  )
  return Programs(init, batches, step.compile(), predict.compile())


def print_temporaries(what: str, programs: Programs) -> None:
  step, predict = (
    program.memory_analysis().temp_size_in_bytes / 2**30
    for program in (programs.step, programs.predict)
  )
  print(
    f'{what}: temporaries of a step {step:.2f} GiB, of a prediction '
    f'{predict:.2f} GiB',
    flush=True,
  )


def main(_) -> None:
  runtime.initialize()
  config = runtime.CONFIG.value
  print_temporaries('all at once', make_programs(config, bounded=False))
  programs = make_programs(config, bounded=True)
  print_temporaries('as configured', programs)

  state, batch = programs.init(), next(programs.batches)
  began = time.monotonic()
  state, scalars = jax.block_until_ready(programs.step(state, batch))
  seconds = time.monotonic() - began
  print(f'a step: loss {scalars["loss"]:.4f}, {seconds:.0f} s', flush=True)
  began = time.monotonic()
  jax.block_until_ready(
    programs.predict({'params': state.params, **state.model_state}, batch)
  )
  print(f'a prediction: {time.monotonic() - began:.0f} s')
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(f'most memory of the process: {peak:.1f} GiB')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  app.run(main, flags_parser=runtime.parse_flags)

"""A training step and a prediction of a config's model at its full size.

With a batch of one. Prints the peaks of the temporary arrays by XLA's analysis,
beside those of the same programs with all attention logits in memory and all
outputs decoded at once (which are compiled, not run), then runs both.

  python -m benchmarks.full_size --config=configs/perceiver_io/kinetics.py:784
"""

import resource
import time
from typing import NamedTuple

import jax
import ml_collections
from absl import flags

from benchmarks import one_device
from train_lib import runtime, setup


class Programs(NamedTuple):
  """Attributes:
  run: what they are of.
  step: compiled, (state, batch) -> (state, scalars).
  predict: compiled, (variables, batch) -> outputs.
  """

  run: setup.Setup
  step: jax.stages.Compiled
  predict: jax.stages.Compiled


def make_programs(
  config: ml_collections.ConfigDict, *, bounded: bool
) -> Programs:
  """Compiles both; `bounded` as the config says, else all is held at once."""
  config = config.copy_and_resolve_references()
  if not bounded:
    with config.unlocked():
      config.model.encoder.implementation = 'plain'
    if 'decode_mib' in config.task:
      config.task.decode_mib = 1e9
  run, step = one_device.make_train_step(config)
  predict = jax.jit(run.task.predict).lower(run.state.eval_variables, run.batch)
  step = step.lower(run.state, run.batch)
  return Programs(run, step.compile(), predict.compile())


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

  state, batch = programs.run.init(), next(programs.run.batches)
  began = time.monotonic()
  state, scalars = jax.block_until_ready(programs.step(state, batch))
  seconds = time.monotonic() - began
  print(f'a step: loss {scalars["loss"]:.4f}, {seconds:.0f} s', flush=True)
  began = time.monotonic()
  jax.block_until_ready(programs.predict(state.eval_variables, batch))
  print(f'a prediction: {time.monotonic() - began:.0f} s')
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(f'most memory of the process: {peak:.1f} GiB')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  runtime.run(main)

"""One training step of a config's model at its full size, with a batch of one.

Prints the peak of the step's temporary arrays by XLA's analysis, beside that of
the same step with all attention logits in memory (which is compiled, not run),
then takes the step, and for models that decode in chunks the full prediction.

  python -m benchmarks.full_size --config=configs/perceiver_io/kinetics.py:784
"""

import functools
import resource
import time

import jax
import ml_collections
from absl import app, flags

import train
from train_lib import optim, runtime, sharding, train_state
from train_lib.data import pipeline
from train_lib.task import make_task


def make_step(config: ml_collections.ConfigDict, implementation: str):
  """Returns task, batches, init of the state and the compiled step."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.model.encoder.implementation = implementation
  config.data.update(source='synthetic', batch_size=1)
  mesh = jax.sharding.Mesh(jax.devices()[:1], ('data',))
  task = make_task(config)
  batches = pipeline.make_train_iterator(
    config.data, seed=config.seed, sharding=sharding.batch_sharding(mesh)
  )
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  abstract, init = train_state.create(
    task, tx, batches.element_spec, config.seed, mesh, [('.*', ())]
  )
  step = functools.partial(
    train.train_step, task=task, tx=tx, seed=config.seed, num_microbatches=1
  )
  program = jax.jit(step, donate_argnums=0)
  program = program.lower(abstract, batches.element_spec).compile()
  return task, batches, abstract, init, program


def gib(program) -> float:
  return program.memory_analysis().temp_size_in_bytes / 2**30


def main(_) -> None:
  runtime.initialize()
  config = runtime.CONFIG.value
  *_, plain = make_step(config, 'plain')
  print(f'temporaries of a step, all logits in memory: {gib(plain):.2f} GiB')
  del plain
  task, batches, abstract, init, step = make_step(config, 'auto')
  print(f'temporaries of a step: {gib(step):.2f} GiB')
  predict = jax.jit(task.predict)
  variables = {'params': abstract.params, **abstract.model_state}
  predict = predict.lower(variables, batches.element_spec).compile()
  print(f'temporaries of a prediction: {gib(predict):.2f} GiB')

  state, batch = init(), next(batches)
  began = time.monotonic()
  state, scalars = jax.block_until_ready(step(state, batch))
  print(f'a step: loss {scalars["loss"]:.4f}, {time.monotonic() - began:.0f} s')
  began = time.monotonic()
  jax.block_until_ready(
    predict({'params': state.params, **state.model_state}, batch)
  )
  print(f'a prediction: {time.monotonic() - began:.0f} s')
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(f'most memory of the process: {peak:.1f} GiB')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  app.run(main, flags_parser=runtime.parse_flags)

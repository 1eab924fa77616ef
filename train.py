"""Trains what a config describes: `python train.py --config=... --workdir=...`.

--print_config lists the options that there are instead.

Started again with the same workdir, an interrupted run goes on with the very
next example and ends as if nothing had happened.
"""

import functools
import sys

import jax
import ml_collections
import optax
from absl import flags

from configs import schema
from train_lib import (
  accumulation,
  checkpoint,
  evaluators,
  interruption,
  mirror,
  optim,
  options,
  profiling,
  run_files,
  runtime,
  setup,
  train_state,
  weights,
  writer,
)


def train_step(state, batch, *, task, tx, seed, num_microbatches, frozen=()):
  """One update, pure: (state, batch) -> (state, scalars)."""
  rng = jax.random.fold_in(jax.random.key(seed), state.step)

  def grad_fn(model_state, batch, rng):
    def loss_fn(params):
      params = optim.without_gradients(params, frozen)
      return task.loss({'params': params, **model_state}, batch, rng)

    (loss, aux), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    return grads, loss, aux

  grads, loss, aux = accumulation.over_microbatches(grad_fn, num_microbatches)(
    state.model_state, batch, rng
  )
  # Else XLA mixes updates with the sums of gradients, which takes it longer.
  grads = jax.lax.optimization_barrier(grads)
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  state = train_state.TrainState(
    step=state.step + 1,
    params=optax.apply_updates(state.params, updates),
    model_state=aux.model_state,
    opt_state=opt_state,
  )
  grad_norm = optax.tree.norm(grads)
  return state, {'loss': loss, 'grad_norm': grad_norm, **aux.scalars}


def make_step(run: setup.Setup, config: ml_collections.ConfigDict):
  """Jits `train_step` for the run's mesh."""
  parts, frozen = config.optim.num_microbatches, tuple(config.optim.frozen)
  fixed = dict(task=run.task, tx=run.tx, seed=config.seed, frozen=frozen)
  step = functools.partial(train_step, num_microbatches=parts, **fixed)
  return setup.jit_update(run, step)


def train_and_evaluate(
  config: ml_collections.ConfigDict,
  workdir: str,
  *,
  data_may_differ: bool = False,
  profile_steps: str | None = None,
) -> train_state.TrainState:
  """Trains from the last checkpoint, else `init_from`, else scratch.

  Args:
    data_may_differ: resume although the order of the examples is another.
    profile_steps: such as '10:13': those of which a trace is written.

  Returns:
    The last state, or the state at which a signal stopped the run.

  Raises:
    FloatingPointError: the loss, its gradient or the state is not finite.
  """
  run, files = setup.make_setup(config), mirror.Mirror(workdir)
  step_fn = make_step(run, config)
  step_fn = profiling.traced(step_fn, profile_steps, config, files.folder)
  evals = evaluators.make(config, run.task, run.mesh, files.folder, run.state)

  keep_last = config.checkpoint.keep_last
  checkpoints = checkpoint.Checkpoints(workdir, keep_last, files.copy)
  restored = checkpoints.restore(run.state)
  if restored is not None:
    state, data_state = restored
    run.batches.set_state(data_state, data_may_differ)
    writer.say(f'Resuming at step {state.step}.')
  else:
    state = weights.first_state(run, config)

  start = int(state.step)
  files.fetch(writer.METRICS)  # Now that no other run writes to them.
  log = writer.Writer(files.folder, start)
  progress = writer.Progress(start, config.num_steps, config.data.batch_size)
  preemption, watchdog = interruption.Preemption(), interruption.Watchdog()

  def report(step, scalars):
    """Fetches a step's scalars and logs them if due."""
    train_state.check_finite(step, scalars, state)
    if step % config.log_every_steps == 0 or step == config.num_steps:
      scalars = {'loss': 0, **{k: float(x) for k, x in scalars.items()}}
      scalars['lr'] = float(run.schedule(step - 1))
      log.write(step, scalars | progress.report(step, scalars))

  def evaluate_if_due(step):
    if not (due := evaluators.due(config, step)):
      return
    with progress.paused():
      results = evaluators.run(evals, due, state)
      log.write(step, results)
      log.write_pictures(step, due)
      writer.say(f'step {step}  {writer.format_scalars(results)}')
      checkpoints.save_best(state, results, config.checkpoint)

  with interruption.closing(checkpoints, files, log, preemption, watchdog):
    if start:
      evaluate_if_due(start)  # It may have been killed before or while at it.
    end = start if checkpoints.is_over(config, start) else config.num_steps
    pending = None
    for step, batch in progress.steps(run.batches, end):
      state, scalars = step_fn(state, batch)
      if pending is not None:
        report(*pending)  # One step late, so that the device never waits.
      pending = (step, scalars)
      is_last = step == config.num_steps
      preempted = preemption.reached(step) and not is_last
      if is_last or preempted or step % config.checkpoint.every_steps == 0:
        report(*pending)  # What follows a loss that is not finite is not kept.
        pending = None
        checkpoints.save(state, run.batches.get_state())
      if preempted:
        writer.say(f'{preemption.name}: step {step} is saved, stopping.')
        break
      evaluate_if_due(step)
      if evaluators.due(config, step) and checkpoints.is_over(config, step):
        if pending is not None:
          report(*pending)
          checkpoints.save(state, run.batches.get_state())
        break
      watchdog.reached(step)
  return state


def main(_):
  if runtime.PRINT_CONFIG.value:
    print(*options.describe(runtime.CONFIG.value, schema.expected), sep='\n')
    return
  workdir = runtime.required_workdir()
  runtime.initialize()
  config, classes = run_files.derived(runtime.CONFIG.value)
  schema.check(config)
  run_files.write(workdir, config, classes, runtime.config_file())
  state = train_and_evaluate(
    config,
    workdir,
    data_may_differ=runtime.DATA_MAY_DIFFER.value,
    profile_steps=runtime.PROFILE_STEPS.value,
  )
  if not checkpoint.is_over(config, workdir, int(state.step)):
    sys.exit(interruption.EXIT_CODE)  # A launcher begins again.


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  runtime.run(main, schema.check)

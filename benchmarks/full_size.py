"""A training step and a prediction of a config's model at its full size.

With a batch of one, or of the images that a detector's losses are normalised
by. Prints the peaks of the temporary arrays by XLA's analysis, for an encoder
beside those of the same programs with all attention logits in memory and all
outputs decoded at once (which are compiled, not run), then runs both. Where
batches have several shapes, such as lying and upright images, all that for
each; --step_only leaves the prediction out.

  python -m benchmarks.full_size --config=configs/perceiver_io/kinetics.py:784
"""

import resource
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import ml_collections
from absl import flags

from benchmarks import one_device
from train_lib import runtime, setup

_STEP_ONLY = flags.DEFINE_bool('step_only', False, 'No prediction.')
_MOST_BATCHES = 8  # that are looked through for other shapes


class Programs(NamedTuple):
  """Attributes:
  run: what they are of.
  step: compiled, (state, batch) -> (state, scalars).
  predict: compiled, (variables, batch) -> outputs; None: left out.
  """

  run: setup.Setup
  step: jax.stages.Compiled
  predict: jax.stages.Compiled | None


def make_run(
  config: ml_collections.ConfigDict, *, bounded: bool
) -> tuple[setup.Setup, Any]:
  """A run and its step; `bounded` as the config says, else all at once."""
  config = config.copy_and_resolve_references()
  if not bounded:
    with config.unlocked():
      config.model.encoder.implementation = 'plain'
    if 'decode_mib' in config.task:
      config.task.decode_mib = 1e9
  batch_size = config.task.get('group_size', 1)
  return one_device.make_train_step(config, batch_size)


def make_programs(run: setup.Setup, step: Any, batch: Any) -> Programs:
  """Compiles for a batch, or one like it."""
  predict = None
  if not _STEP_ONLY.value:
    predict = jax.jit(run.task.predict).lower(run.state.eval_variables, batch)
    predict = predict.compile()
  return Programs(run, step.lower(run.state, batch).compile(), predict)


def print_temporaries(what: str, programs: Programs) -> None:
  named = {'a step': programs.step, 'a prediction': programs.predict}
  parts = (
    f'of {name} {x.memory_analysis().temp_size_in_bytes / 2**30:.2f} GiB'
    for name, x in named.items()
    if x is not None
  )
  print(f'{what}: temporaries {", ".join(parts)}', flush=True)


def one_of_each_shape(batches: Iterable[Any]) -> Iterator[Any]:
  """Of the first few batches those whose shapes are new."""
  seen = set()
  for _, batch in zip(range(_MOST_BATCHES), batches, strict=False):
    shapes = tuple(x.shape for x in jax.tree.leaves(batch))
    if shapes not in seen:
      seen.add(shapes)
      yield batch


def main(_) -> None:
  runtime.initialize()
  config = runtime.CONFIG.value
  if 'encoder' in config.model:
    run, step = make_run(config, bounded=False)
    print_temporaries('all at once', make_programs(run, step, run.batch))
  run, step = make_run(config, bounded=True)
  state = run.init()
  for batch in one_of_each_shape(run.batches):
    if 'image' in batch:
      print(f'images {list(batch["image"].shape)}')
    programs = make_programs(run, step, batch)
    print_temporaries('as configured', programs)
    began = time.monotonic()
    state, scalars = jax.block_until_ready(programs.step(state, batch))
    seconds = time.monotonic() - began
    print(f'a step: loss {scalars["loss"]:.4f}, {seconds:.0f} s', flush=True)
    if programs.predict is not None:
      began = time.monotonic()
      jax.block_until_ready(programs.predict(state.eval_variables, batch))
      print(f'a prediction: {time.monotonic() - began:.0f} s', flush=True)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(f'most memory of the process: {peak:.1f} GiB')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  runtime.run(main)

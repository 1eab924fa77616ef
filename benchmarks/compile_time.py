"""How long a config's train step takes to compile, layers unrolled and scanned.

  python -m benchmarks.compile_time \
    --config=configs/perceiver_io/masked_language_modelling.py

With a batch of one on one device of this machine; nothing is run, and the
compile cache is off. What is measured is tracing, lowering and XLA together,
in wall-clock and in CPU seconds of this process.
"""

import time

import jax
import ml_collections
from absl import flags

from benchmarks import one_device
from train_lib import runtime


def compile_step(config: ml_collections.ConfigDict, scan_layers: bool):
  """Returns the compiled train step, wall-clock and CPU seconds."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.model.get('encoder', config.model).scan_layers = scan_layers
  run, step = one_device.make_train_step(config)
  wall, cpu = time.monotonic(), time.process_time()
  program = step.lower(run.state, run.batch).compile()
  return program, time.monotonic() - wall, time.process_time() - cpu


def main(_) -> None:
  runtime.initialize()
  jax.config.update('jax_enable_compilation_cache', False)
  for scan_layers in (True, False):
    program, wall, cpu = compile_step(runtime.CONFIG.value, scan_layers)
    temporaries = program.memory_analysis().temp_size_in_bytes / 2**30
    print(
      f'{"scanned" if scan_layers else "unrolled":<10}{wall:8.1f} s '
      f'{cpu:8.1f} CPU s  temporaries {temporaries:.2f} GiB',
      flush=True,
    )


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  runtime.run(main)

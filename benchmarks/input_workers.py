"""Batches a second of a config's input pipeline, by threads and by processes.

  python -m benchmarks.input_workers --config=configs/paca_vit/imagenet.py \
    --config.data.batch_size=32

Examples are made up. Each way of working ahead makes some batches in turn, A B
A B; the others have filled their buffers and rest. Rows are medians of
examples a second by the clock, and of the milliseconds of all processes' CPU
that an example takes.
"""

import multiprocessing
import os
import pathlib
import time

import jax
import numpy as np
from absl import flags

from train_lib import pipeline, runtime, sharding

_BATCHES = flags.DEFINE_integer('batches', 16, 'In a turn.', lower_bound=1)
_TURNS = flags.DEFINE_integer('turns', 5, 'Of each.', lower_bound=1)
# (num_threads, num_workers); 0 threads within a worker: it is one.
WAYS = (1, 0), (2, 0), (0, 1), (0, 2)


def cpu_seconds() -> float:
  """Of this process and of those that it started."""
  pids = [os.getpid(), *(x.pid for x in multiprocessing.active_children())]
  ticks = 0
  for pid in pids:
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    ticks += sum(map(int, stat.rpartition(')')[2].split()[11:13]))
  return ticks / os.sysconf('SC_CLK_TCK')


def settle() -> None:
  """Waits until all that works ahead has filled its buffers."""
  before = -1.0
  while (now := cpu_seconds()) - before > 0.02:
    before = now
    time.sleep(0.5)


def batches_of(config, num_threads: int, num_workers: int):
  """The iterator of a run with so many of each."""
  data_config = config.data.copy_and_resolve_references()
  data_config.update(
    source='synthetic', num_threads=num_threads, num_workers=num_workers
  )
  mesh = sharding.make_mesh(dict.fromkeys(config.mesh, 1), jax.devices()[:1])
  layout = sharding.batch_sharding(mesh)
  return pipeline.make_train_iterator(data_config, seed=0, sharding=layout)


def main(_) -> None:
  runtime.initialize()
  config = runtime.CONFIG.value
  examples = _BATCHES.value * config.data.batch_size
  ways = {way: batches_of(config, *way) for way in WAYS}
  rates = {way: [] for way in ways}
  for turn in range(_TURNS.value + 1):
    for way, batches in ways.items():
      settle()
      for _ in range(1 + 2 * way[0] + 4 * way[1]):
        next(batches)  # What was made while the others had their turns.
      wall, cpu = time.perf_counter(), cpu_seconds()
      for _ in range(_BATCHES.value):
        jax.block_until_ready(next(batches))
      wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
      if turn > 0:
        rates[way].append((examples / wall, 1e3 * cpu / examples))
  print('| threads | processes | examples/s | CPU ms each |\n|--:|--:|--:|--:|')
  for (threads, workers), found in rates.items():
    rate, cost = np.median(found, axis=0)
    print(f'| {threads} | {workers} | {rate:.0f} | {cost:.2f} |')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config'])
  runtime.run(main)

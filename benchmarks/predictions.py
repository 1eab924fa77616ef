"""Predicting users' pictures beside evaluating them: seconds for all.

  python -m benchmarks.predictions --workdir=runs/photos --folder=photos/cat

The pictures of a folder, again and again up to --count, are read, preprocessed
and classified twice: as `predict.py` does it, and as the run's evaluation,
which computes metrics. Both have compiled before; the least of --repeats
counts, of the wall's clock and of the processor's.
"""

import csv
import itertools
import os
import tempfile
import time

import jax
from absl import app, flags

import predict
from data import image_files
from train_lib import (
  evaluate,
  pipeline,
  prediction,
  run_files,
  runtime,
  sharding,
  trained,
)

FOLDER = flags.DEFINE_string('folder', None, 'Of pictures.')
COUNT = flags.DEFINE_integer('count', 1_000, 'How many are predicted.')
REPEATS = flags.DEFINE_integer('repeats', 3, 'How often.')


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  workdir = runtime.WORKDIR.value
  paths = image_files.readable(image_files.image_paths(FOLDER.value))
  paths = list(itertools.islice(itertools.cycle(paths), COUNT.value))
  predictor = predict.load(workdir)
  with tempfile.TemporaryDirectory() as folder:
    programs = {
      'predicting': lambda: predictor(paths),
      'evaluating': _evaluation(workdir, paths, folder),
    }
    for program in programs.values():
      program()  # compiles
    found = {name: [] for name in programs}
    for _ in range(REPEATS.value):
      for name, program in programs.items():
        start = time.perf_counter(), time.process_time()
        program()
        found[name].append(
          (time.perf_counter() - start[0], time.process_time() - start[1])
        )
  print(f'{len(paths)} pictures, {jax.devices()[0].device_kind}')
  for name, pairs in found.items():
    wall, busy = (min(x) for x in zip(*pairs, strict=True))
    print(f'{name}: {wall:.2f} s, {busy:.2f} s of the processor')


def _evaluation(workdir, paths, folder):
  """A function that evaluates the pictures, all of the first class."""
  config = run_files.read_config(workdir)
  label, other = run_files.read_classes(workdir)[:2]
  rows = []
  for i, path in enumerate(paths):  # A table names no file twice.
    link = os.path.join(folder, f'{i}{path.suffix}')
    os.symlink(os.path.abspath(path), link)
    rows.append((link, label, 'test'))
  table = os.path.join(folder, 'table.csv')
  with open(table, 'w', newline='') as file:
    csv.writer(file).writerows(
      [('file', 'label', 'split'), *rows, (rows[0][0] + '?', other, 'train')]
    )
  data = prediction.evaluation(config).data
  data.update(data_dir=table, split='test', source='real')
  mesh = sharding.make_mesh(config.mesh)
  batches = pipeline.make_eval_batches(
    data, sharding=sharding.batch_sharding(mesh)
  )
  task, state = trained.load(config, workdir, mesh, batches.element_spec)
  evaluator = evaluate.MetricsEvaluator(task, mesh, batches)
  return lambda: evaluator.run(state)


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir', 'folder'])
  runtime.run(main)

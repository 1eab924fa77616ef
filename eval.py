"""Evaluates a run: `python eval.py --workdir=...`.

A run keeps its config in its workdir; --config is needed for other options, or
for weights without a run.

Runs every evaluator of the config on the run's last checkpoint and prints what
`train.py` printed for it. Without checkpoints in the workdir it evaluates the
weights that `config.init_from` names, such as imported ones. It needs no
training set. The results are kept in results.json in the workdir, see
`results.write_results`.
"""

import contextlib
import shlex
import sys

import jax
import ml_collections
from absl import flags

from configs import schema
from train_lib import (
  evaluators,
  mirror,
  results,
  run_files,
  runtime,
  setup,
  sharding,
  trained,
)


def run_evaluators(
  config: ml_collections.ConfigDict, workdir: str, best: bool
) -> dict[str, float]:
  """Returns {'<evaluator>/<metric>': value} of all evaluators."""
  mesh = sharding.make_mesh(config.mesh)
  batch = setup.evaluation_batch(config)
  task, state = trained.load(config, workdir, mesh, batch, best)
  with contextlib.closing(mirror.Mirror(workdir)) as files:
    evals = evaluators.make(config, task, mesh, files.folder)
    return evaluators.run(evals, list(evals), state)


def main(_):
  runtime.initialize()
  workdir = runtime.WORKDIR.value
  config = run_files.config_of(runtime.CONFIG.value, workdir)
  schema.check(config)
  metrics = run_evaluators(config, workdir, trained.BEST.value)
  if jax.process_index() == 0:
    imported = trained.is_imported(config, workdir)
    results.write_results(
      workdir,
      config=runtime.config_file() or run_files.read_file_name(workdir),
      weights=config.init_from.path if imported else workdir,
      imported=imported,
      command=shlex.join(['python', *sys.argv]),
      metrics=metrics,
      about=results.about(config),
    )
    for name, value in metrics.items():
      print(f'{name}: {value:.6g}')


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  runtime.run(main, schema.check)

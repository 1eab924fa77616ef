"""Evaluates a run: `python eval.py --config=... --workdir=...`.

Runs every evaluator of the config on the run's last checkpoint and prints what
`train.py` printed for it. Without checkpoints in the workdir it evaluates the
weights that `config.init_from` names, such as imported ones. The results are
kept in results.json in the workdir, see `evaluate.write_results`.
"""

import os
import shlex
import sys

import jax
import ml_collections
from absl import app, flags
from ml_collections import config_flags

from train_lib import (
  checkpoint,
  evaluate,
  optim,
  runtime,
  sharding,
  train_state,
)
from train_lib.data import pipeline
from train_lib.task import make_task

BEST = flags.DEFINE_bool('best', False, 'The best checkpoint, not the last.')


def run_evaluators(
  config: ml_collections.ConfigDict, workdir: str, best: bool
) -> dict[str, float]:
  """Returns {'<evaluator>/<metric>': value} of all evaluators."""
  mesh = sharding.make_mesh(config.mesh)
  task = make_task(config)
  tx, _ = optim.make_optimizer(config.optim, config.num_steps)
  batches = pipeline.make_train_iterator(
    config.data, seed=config.seed, sharding=sharding.batch_sharding(mesh)
  )
  abstract, init = train_state.create(
    task, tx, batches.element_spec, config.seed, mesh, config.sharding
  )
  if is_untrained(config, workdir):
    state = checkpoint.init_from(init(), tx, config.init_from)
  else:
    state = checkpoint.load_state(workdir, abstract, best)
  evaluators = evaluate.make_evaluators(config, task, mesh, workdir)
  return evaluate.run(evaluators, list(evaluators), state)


def is_untrained(config: ml_collections.ConfigDict, workdir: str) -> bool:
  """Whether the weights that `config.init_from` names are evaluated."""
  return bool(config.init_from.path) and not os.path.exists(
    os.path.join(workdir, 'checkpoints')
  )


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  config, workdir = runtime.CONFIG.value, runtime.WORKDIR.value
  results = run_evaluators(config, workdir, BEST.value)
  if jax.process_index() == 0:
    imported = is_untrained(config, workdir)
    evaluate.write_results(
      workdir,
      config=config_flags.get_config_filename(flags.FLAGS['config']),
      weights=config.init_from.path if imported else workdir,
      imported=imported,
      command=shlex.join(['python', *sys.argv]),
      metrics=results,
    )
    for name, value in results.items():
      print(f'{name}: {value:.6g}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main, flags_parser=runtime.parse_flags)

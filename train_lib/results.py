"""What eval.py keeps of an evaluation: results.json in the workdir."""

import datetime
import math
import os
from typing import Any

import jax
import ml_collections

from train_lib import places, setup, strict_json
from train_lib.task import make_task


def about(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What a page about the run says beside its metrics, computing nothing."""
  variables = jax.eval_shape(
    make_task(config).init, jax.random.key(0), setup.evaluation_batch(config)
  )
  leaves = jax.tree.leaves(variables['params'])
  devices = jax.devices()
  device = f'{len(devices)} x {devices[0].device_kind}'
  if devices[0].platform == 'cpu':
    device += f', {os.cpu_count()} cores'
  return {
    'task': config.task.module,
    'data': config.data.module,
    'source': config.data.source,
    'batch_size': config.data.batch_size,
    'num_steps': config.num_steps,
    'parameters': sum(math.prod(x.shape) for x in leaves),
    'device': device,
    'best_metric': config.checkpoint.best_metric,
    'evals': list(config.evals),
  }


def write_results(
  workdir: str,
  *,
  config: str,
  weights: str,
  imported: bool,
  command: str,
  metrics: dict[str, float],
  about: dict[str, Any],
) -> None:
  """Keeps an evaluation in `workdir`/results.json, with the time, in UTC.

  Args:
    workdir: folder; made if it does not exist.
    config: what --config named.
    weights: checkpoint, or workdir of the run that trained them.
    imported: whether they come from elsewhere and were not trained here.
    command: that gave the metrics.
    metrics: as `evaluators.run` returns them.
    about: see `about`.
  """
  root = places.of(workdir)
  root.mkdir(parents=True, exist_ok=True)
  now = datetime.datetime.now(datetime.UTC)
  results = {
    'date': now.isoformat(timespec='seconds'),
    'config': config,
    'weights': weights,
    'imported': imported,
    'command': command,
    'metrics': metrics,
    'about': about,
  }
  places.write_text(root / 'results.json', strict_json.dumps(results, indent=2))

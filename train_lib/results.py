"""What eval.py keeps of an evaluation: results.json in the workdir."""

import datetime
import os

from train_lib import strict_json


def write_results(
  workdir: str,
  *,
  config: str,
  weights: str,
  imported: bool,
  command: str,
  metrics: dict[str, float],
) -> None:
  """Keeps an evaluation in `workdir`/results.json, with the time, in UTC.

  Args:
    workdir: folder; made if it does not exist.
    config: what --config named.
    weights: checkpoint, or workdir of the run that trained them.
    imported: whether they come from elsewhere and were not trained here.
    command: that gave the metrics.
    metrics: as `run` returns them.
  """
  os.makedirs(workdir, exist_ok=True)
  now = datetime.datetime.now(datetime.UTC)
  results = {
    'date': now.isoformat(timespec='seconds'),
    'config': config,
    'weights': weights,
    'imported': imported,
    'command': command,
    'metrics': metrics,
  }
  with open(os.path.join(workdir, 'results.json'), 'w') as file:
    file.write(strict_json.dumps(results, indent=2))

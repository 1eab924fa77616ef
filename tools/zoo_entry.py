"""Makes a trained run one of the models that come with the repository.

  python -m tools.zoo_entry --workdir=runs/demo --model=digits_on_photos \
    --shown=test/accuracy --note='What make demo trains.'

Writes results/zoo/NAME (`tools.zoo`): parameters of 16 bits, the run's config,
and a card whose figures are those of the stored parameters: the config's
evaluators run on what was written.
"""

import datetime
import pathlib
import shlex
import shutil
import sys
import tempfile
from typing import Any

from absl import app, flags

import eval as evaluation
from tools import zoo
from tools.export import card, describe, run
from tools.export.__main__ import LICENCE
from train_lib import run_files, runtime, trained

SHOWN = flags.DEFINE_list('shown', [], 'Metrics that stand first.')
NOTE = flags.DEFINE_string('note', '', 'A sentence for the card.')
_STORED = 'float16'


def make(
  workdir: str, target: pathlib.Path, command: str, options: dict[str, Any]
) -> dict[str, Any]:
  """Writes the folder of a model.

  Args:
    workdir: of the run.
    target: the folder, which must not exist.
    command: that makes it.
    options: `best`, `licence`, `shown` and `note`, as the flags.

  Returns:
    What was measured, metric -> value.

  Raises:
    ValueError: there is such a folder, or no such metric.
  """
  if target.exists():
    raise ValueError(f'--model: {target} exists already; expected a new name.')
  config = run_files.read_config(workdir)
  exportable = run.load(
    config,
    workdir,
    best=options['best'],
    parameters=_STORED,
  )
  about = describe.describe(exportable, workdir, options['licence'])
  about |= {'shown': options['shown'], 'note': options['note']}
  target.parent.mkdir(parents=True, exist_ok=True)
  parent = pathlib.Path(tempfile.mkdtemp(prefix='.zoo-', dir=target.parent))
  new = parent / target.name
  try:
    run_folder = new / zoo.RUN
    run_folder.mkdir(parents=True)
    for path in map(pathlib.Path(workdir).joinpath, run_files.FILES):
      if path.exists():
        shutil.copy(path, run_folder)
    card.write(exportable, new, about, target.name)
    opened = parent / 'opened'
    opened.mkdir()
    zoo.open_into(new, str(opened), str(opened / 'weights'))
    metrics = evaluation.run_evaluators(
      run_files.read_config(str(opened)), str(opened), best=False
    )
    missing = set(options['shown']) - set(metrics)
    if missing:
      raise ValueError(
        f'--shown: found {sorted(missing)}, expected some of {sorted(metrics)}.'
      )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
    about['figures'] = dict(date=now, command=command, metrics=metrics)
    card.write(exportable, new, about, target.name)
    new.replace(target)
  finally:
    shutil.rmtree(parent, ignore_errors=True)
  return metrics


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runtime.initialize()
  target = zoo.ZOO / zoo.MODEL.value
  metrics = make(
    runtime.WORKDIR.value,
    target,
    shlex.join(['python', '-m', 'tools.zoo_entry', *sys.argv[1:]]),
    dict(
      best=trained.BEST.value,
      licence=LICENCE.value,
      shown=SHOWN.value,
      note=NOTE.value,
    ),
  )
  size = sum(x.stat().st_size for x in target.rglob('*') if x.is_file())
  print(f'{target}: {size / 2**20:.2f} MiB')
  for name, value in metrics.items():
    print(f'{name}: {value:.6g}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir', 'model'])
  runtime.run(main)

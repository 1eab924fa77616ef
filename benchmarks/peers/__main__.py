"""Speed and memory beside what people use in its place, in one run.

  python -m benchmarks.peers --only=paca_tiny_forward,paca_tiny_step

Each row has sides: ours, and PyTorch's as its users call it (`transformers`, a
PaCa-ViT of PyTorch's layers, timm's transforms). Every side is a process of its
own with the same number of threads, on random weights and made-up inputs, in
float32. They take turns, A B A B. Seconds are those of single passes, by the
clock and of the processor, which what else runs on the machine disturbs less;
ratios are of medians, above 1 where ours is faster. Memory is the process's
most, its imports included; "first" are the processor's seconds from the start
of the process, compilation included. What torch.compile keeps on the disk from
an earlier run shortens it, ours is compiled anew.

--json=results/speed/NAME.json keeps the rows in that file, in the place of
those of the same name. --report writes the tables of docs/speed.md, one for
each processor, from the files in results/speed (with --check it compares).
PyTorch's sides need the extra `parity`; --sides=ours does without.
"""

import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import sys
from collections.abc import Iterable

from absl import app, flags

from benchmarks.peers import report, worker
from tools.output import CHECK

_ONLY = flags.DEFINE_list('only', None, 'Rows; all if not given.')
_SIDES = flags.DEFINE_list('sides', None, 'What their names begin with.')
_THREADS = flags.DEFINE_integer('threads', 2, 'Of each side.', lower_bound=1)
_PASSES = flags.DEFINE_integer('passes', 9, 'Timed, of each.', lower_bound=1)
_JSON = flags.DEFINE_string('json', None, 'File that keeps the rows.')
_REPORT = flags.DEFINE_bool('report', False, 'Write the table of docs/speed.md')
_PACKAGES = 'jax', 'torch', 'transformers', 'pillow', 'numpy'
_PEERS = 'torch', 'transformers'


def measure(name: str, sides: list[str]) -> dict:
  """A row of `results/speed`: what `report.KEYS` names."""
  load = os.getloadavg()[0]
  workers = {side: worker.Worker(name, side, _THREADS.value) for side in sides}
  figures = {
    side: dict(first=x.first, wall=[], cpu=[]) for side, x in workers.items()
  }
  for i in range(_PASSES.value + 1):
    for side, x in workers.items():
      seconds = x.go()
      if i > 0:  # The first turn warms up.
        for kind in ('wall', 'cpu'):
          figures[side][kind].append(round(seconds[kind], 4))
  for side, x in workers.items():
    figures[side]['peak_mib'] = x.close()
  return dict(
    row=name,
    sides=figures,
    threads=_THREADS.value,
    load=[round(load, 1), round(os.getloadavg()[0], 1)],
    cores=os.cpu_count(),
    machine=_processor(),
    date=datetime.date.today().isoformat(),
    versions=_versions(),
  )


def _versions() -> dict[str, str]:
  """Of those packages that are installed."""
  found = {}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[package] = importlib.metadata.version(package)
  return found


def _processor() -> str:
  """Its name, and how wide its vectors are, on which products depend."""
  found = {}
  for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
    name, _, value = line.partition(':')
    found[name.strip()] = value.strip()
  wide = 'avx512f' in found.get('flags', '').split()
  name = found.get('model name', platform.machine())
  return f'{name} {"with" if wide else "without"} AVX-512'


def keep(path: pathlib.Path, row: dict) -> None:
  """Writes the row into a file of rows, in the place of one of its name."""
  kept = json.loads(path.read_text()) if path.exists() else []
  kept = [x for x in kept if x['row'] != row['row']] + [row]
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('[\n' + ',\n'.join(map(json.dumps, kept)) + '\n]\n')


def _chosen(name: str, sides: Iterable[str]) -> list[str]:
  """Those of a row's sides that --sides asks for."""
  sides = list(sides)
  asked = sides if _SIDES.value is None else _SIDES.value
  chosen = [side for side in sides if side.startswith(tuple(asked))]
  if not chosen:
    sys.exit(
      f'--sides: {name} has none of {_SIDES.value}; expected beginnings of '
      f'{sides}.'
    )
  return chosen


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  from benchmarks.peers import rows

  if _REPORT.value:
    page = report.PAGE.read_text()
    made = report.with_table(page)
    if CHECK.value and made != page:
      sys.exit(f'{report.PAGE}: its table is not what {report.FOLDER} holds.')
    if not CHECK.value:
      report.PAGE.write_text(made)
    return
  names = _ONLY.value or list(rows.ROWS)
  if unknown := set(names) - set(rows.ROWS):
    sys.exit(
      f'--only: found {", ".join(sorted(unknown))}; expected some of '
      f'{", ".join(rows.ROWS)}.'
    )
  sides = {name: _chosen(name, rows.ROWS[name].sides) for name in names}
  missing = [x for x in _PEERS if importlib.util.find_spec(x) is None]
  theirs = {x for xs in sides.values() for x in xs if not x.endswith(rows.OURS)}
  if missing and theirs:
    sys.exit(
      f'{", ".join(missing)}: not installed; expected the extra `parity`, or '
      f'--sides={rows.OURS}.'
    )
  # XLA takes a thread for every core that the process may use.
  cores = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, cores[: _THREADS.value])
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  for i, name in enumerate(names):
    row = measure(name, sides[name])
    if i == 0:
      print(report.HEADER, flush=True)
    print(*report.lines(row), sep='\n', flush=True)
    if _JSON.value:
      keep(pathlib.Path(_JSON.value), row)


if __name__ == '__main__':
  if len(sys.argv) > 1 and sys.argv[1].startswith(worker.FLAG):
    worker.serve(*sys.argv[1].removeprefix(worker.FLAG).split(':'))
  else:
    app.run(main)

"""What was trained here, from the files in results/: docs/results.md.

  python -m tools.results           writes it
  python -m tools.results --check   fails if it is not what the files say
  python -m tools.results --short   prints a table of three columns

A file is one run: `task`, `config`, `command`; `figures`, each a `name`, a
`value` as it was read, its `unit` and what stands `beside` it, name -> value;
`examples`, which it was measured on; `length` of the run, `machine` and
`minutes`, null where nobody noted them; `date`, when it was recorded;
`picture`, a page of docs/, and `note`, '' if there is none. Every figure was
read off a run: what is not known is left out.
"""

import importlib
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags

from tools.output import CHECK

SHORT = flags.DEFINE_bool('short', False, 'Task, command and first figure.')
ROOT = pathlib.Path(__file__).parent.parent
RESULTS, PAGE = ROOT / 'results', ROOT / 'docs' / 'results.md'

KEYS = (
  *('task', 'config', 'command', 'figures', 'examples', 'length', 'machine'),
  *('minutes', 'date', 'picture', 'note'),
)
PREFACE = """# Trained here

Made by `python -m tools.results` of the files in `results/`, a run each. Beside
each figure stands what a simple method reaches on the same examples. The
papers' figures, and what of them was measured here, are in
[paper-tables.md](paper-tables.md).

"""


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The runs, by config.

  Raises:
    ValueError: a file lacks a key or has another one, or its config has no such
      variant.
  """
  runs = []
  for path in sorted(folder.glob('*.json')):
    run = json.loads(path.read_text())
    if set(run) != set(KEYS):
      raise ValueError(
        f'{path.name}: found {sorted(run)}, expected {sorted(KEYS)}.'
      )
    file, _, variant = run['config'].partition('.py:')
    module = importlib.import_module(file.replace('/', '.'))
    if variant not in module.VARIANTS:
      raise ValueError(
        f'{path.name}: config {run["config"]} has the variants '
        f'{list(module.VARIANTS)}.'
      )
    runs.append(run)
  return sorted(runs, key=lambda run: (run['config'], run['command']))


def figure(name: str, value: str, unit: str = '') -> str:
  """'test accuracy: 0.979', 'end-point error: 0.92 px'."""
  return f'{name}: {value} {unit}'.rstrip()


def short(runs: Sequence[Mapping[str, Any]]) -> str:
  """Task, command and the first figure of each run."""
  return _table(
    ('task', 'command', 'result here'),
    (
      (
        run['task'],
        f'`{run["command"]}`',
        figure(*(run['figures'][0][key] for key in ('name', 'value', 'unit'))),
      )
      for run in runs
    ),
  )


def page(runs: Sequence[Mapping[str, Any]]) -> str:
  """The whole of docs/results.md."""
  rows, commands = [], []
  for run in runs:
    for i, x in enumerate(run['figures']):
      beside = ', '.join(figure(*item) for item in x['beside'].items())
      about = ()
      if i == 0:
        about = run['task'], run['examples'], _effort(run)
      task, examples, effort = about or ('', '', '')
      rows.append(
        (
          task,
          figure(x['name'], x['value'], x['unit']),
          beside,
          examples,
          effort,
        )
      )
    picture = f' [Picture]({run["picture"]}).' if run['picture'] else ''
    note = f' {run["note"]}' if run['note'] else ''
    commands.append(f'- {run["task"]}: `{run["command"]}`.{note}{picture}')
  header = 'task', 'result', 'beside it', 'measured on', 'run'
  return (
    PREFACE
    + _table(header, rows)
    + '\n## Commands\n\n'
    + '\n'.join(commands)
    + '\n'
  )


def _effort(run):
  time = '' if run['minutes'] is None else f'{run["minutes"]} minutes'
  machine = '' if run['machine'] is None else f'on {run["machine"]}'
  parts = run['length'], f'{time} {machine}'.strip(), run['date']
  return ', '.join(part for part in parts if part)


def _table(header, rows):
  lines = (header, ('---',) * len(header), *rows)
  return ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  runs = read(RESULTS)
  if SHORT.value:
    print(short(runs), end='')
  elif not CHECK.value:
    PAGE.write_text(page(runs))
  elif page(runs) != PAGE.read_text():
    sys.exit(f'{PAGE} is not what results/ says: run python -m tools.results')


if __name__ == '__main__':
  app.run(main)

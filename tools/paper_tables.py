"""The papers' tables beside what is counted and measured here.

  python -m tools.paper_tables > docs/paper-tables.md
  python -m tools.paper_tables --check

Every table of Perceiver IO's and PaCa-ViT's papers in which a model of ours has
a row. The published figures are those of published.json beside this file.
Parameters and operations are counted, at full size, on our models: plain, that
is with every product of the published computation, and as executed on a CPU.
Metrics are read from the results.json that eval.py leaves in a workdir:
`ported` are published weights that were imported, `trained here` are our own.

--check counts again and fails if a count is not the recorded one, or, in a row
without a footnote, not the published one. --record records the counts.
"""

import glob
import json
import multiprocessing
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags

from tools import paper_cells, published_models
from tools.output import CHECK
from train_lib import cost

RECORD = flags.DEFINE_bool('record', False, 'Record the counts.')
JSON = flags.DEFINE_bool('json', False, 'JSON instead of Markdown.')
RESULTS = flags.DEFINE_string(
  'results', 'runs/*/results.json', 'Pattern of the results to read.'
)
PUBLISHED = pathlib.Path(__file__).parent / 'published.json'
# Published counts are rounded, and some count elementwise operations.
TOLERANCE = 0.01
_UNITS = {'M': 1e6, 'G': 1e9, 'B': 1e9, 'T': 1e12}


def count(model: str, with_sizes: bool = False) -> dict[str, Any]:
  """Parameters and multiply-adds, and `sizes`, of a published model."""

  def trace(**options):
    made = published_models.model(model, **options).in_loops()
    return cost.init_and_multiply_adds(made.init_with_output, *made.args)

  variables, executed = trace()
  plain = executed
  if model.startswith('perceiver_io/'):  # Others have no options.
    _, plain = trace(**published_models.PLAIN)
  counts = {
    'parameters': cost.num_params(variables['params']),
    'multiply_adds': plain,
    'executed': executed,
  }
  if with_sizes:
    counts['sizes'] = published_models.sizes(model)
  return counts


def count_all(tables: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
  """`count` of every model that a row names, on all cores."""
  models = {}
  for table in tables:
    for row in table['rows']:
      if 'model' in row:
        sized = 'sizes.' in str(table.get('here', ''))
        models[row['model']] = sized or models.get(row['model'], False)
  # JAX does not survive a fork.
  with multiprocessing.get_context('spawn').Pool(os.cpu_count()) as pool:
    counts = pool.starmap(count, sorted(models.items()), chunksize=1)
  return dict(zip(sorted(models), counts, strict=True))


def drifts(
  tables: Sequence[Mapping[str, Any]],
  recorded: Mapping[str, Mapping[str, Any]],
  counts: Mapping[str, Mapping[str, Any]],
) -> list[str]:
  """What differs from the record, or without a footnote from the paper."""
  problems = [
    f'{model}: counted {counts.get(model)}, recorded {recorded.get(model)}'
    for model in sorted(counts.keys() | recorded.keys())
    if counts.get(model) != recorded.get(model)
  ]
  for table in tables:
    for row in table['rows']:
      if row.get('notes'):
        continue
      published = dict(zip(table['columns'], row['values'], strict=True))
      for column, here in paper_cells.found(table, row, counts).items():
        if published[column] and not paper_cells.agree(published[column], here):
          problems.append(
            f'{table["title"]}, {row["name"]}, {column}: here {here}, '
            f'published {published[column]}, and no footnote says why'
          )
      if 'model' not in row:
        continue
      found = counts[row['model']]
      operations = found['multiply_adds'] * (1 if table.get('macs') else 2)
      for key, value in (
        ('params', found['parameters']),
        ('flops', operations),
      ):
        if key in row and abs(value / _number(row[key]) - 1) > TOLERANCE:
          problems.append(
            f'{table["title"]}, {row["name"]}, {key}: counted {value:,}, '
            f'published {row[key]}, and no footnote says why'
          )
  return problems


def _number(published: str) -> float:
  """'48.4M' -> 48.4e6."""
  return float(published[:-1]) * _UNITS[published[-1]]


def read_results(pattern: str) -> list[dict[str, Any]]:
  """What eval.py wrote, the latest last."""
  results = [
    json.loads(pathlib.Path(path).read_text()) for path in glob.glob(pattern)
  ]
  return sorted(results, key=lambda result: result['date'])


def fill(
  table: Mapping[str, Any],
  counts: Mapping[str, Mapping[str, Any]],
  results: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
  """A table of published.json with what is known here.

  Args:
    table: title, source, columns, rows, notes; `macs` if its FLOPs are
      multiply-adds; `metrics`, of a column the metric here, its scale, and what
      '<task>' in the row's config stands for; `here`, see `paper_cells`.
    counts: by model, see `count`.
    results: see `read_results`.

  Returns:
    The table; its rows have, of each kind, `published`, `here`, `counted`,
    `ported` and `trained_here`, and `config`, '' where there is none.
  """
  rows = []
  for row in table['rows']:
    model = row.get('model')
    config = row.get('config') or (
      published_models.config_of(model) if model else ''
    )
    measured = {
      column: [config.replace('<task>', *task or ['']), metric, scale]
      for column, (metric, scale, *task) in table.get('metrics', {}).items()
    }
    counted = {}
    if model:
      factor = 1 if table.get('macs') else 2
      counted = {
        'parameters': counts[model]['parameters'],
        'flops': factor * counts[model]['multiply_adds'],
        'flops_executed': factor * counts[model]['executed'],
      }
    rows.append(
      {
        'name': row['name'],
        'published': dict(zip(table['columns'], row['values'], strict=True))
        | {key: row[key] for key in ('params', 'flops') if key in row},
        'here': paper_cells.found(table, row, counts),
        'counted': counted,
        'ported': _measured(measured, results, imported=True),
        'trained_here': _measured(measured, results, imported=False),
        'config': config,
        'notes': row.get('notes', []),
      }
    )
  keys = ('id', 'title', 'source', 'columns', 'notes')
  return {key: table[key] for key in keys} | {'rows': rows}


def _measured(measured, results, imported):
  """column -> value, date, weights and command of the latest evaluation."""
  found = {}
  for column, (config, metric, scale) in measured.items():
    for result in results:
      same = result['config'].removeprefix('./') == config
      if same and result['imported'] == imported:
        if metric in result['metrics']:
          found[column] = {
            'value': result['metrics'][metric] * scale,
            **{key: result[key] for key in ('date', 'weights', 'command')},
          }
  return found


def markdown(table: Mapping[str, Any]) -> str:
  """A filled table with its footnotes; what is not known is left empty."""
  footnotes = list(table['notes'])

  def measured(found):
    cells = []
    for column, x in found.items():
      day = x['date'][:10]
      footnotes.append(f'{day}, weights `{x["weights"]}`: `{x["command"]}`')
      cells.append(f'{column} {x["value"]:.2f} [{len(footnotes)}]')
    return ', '.join(cells)

  header = [
    *('model', *table['columns'], 'parameters', 'counted here', 'FLOPs'),
    *('counted here', 'as executed', 'ported', 'trained here', 'config'),
  ]
  lines = []
  for row in table['rows']:
    marks = ', '.join(str(i + 1) for i in row['notes'])
    marks = f' [{marks}]' if marks else ''
    published, here, counted = row['published'], row['here'], row['counted']
    lines.append(
      [
        row['name'] + marks,
        *(
          paper_cells.cell(published[column], here.get(column))
          for column in table['columns']
        ),
        published.get('params', ''),
        f'{counted["parameters"] / 1e6:.2f}M' if counted else '',
        published.get('flops', ''),
        *(
          f'{counted[key] / 1e9:.1f}G' if counted else ''
          for key in ('flops', 'flops_executed')
        ),
        measured(row['ported']),
        measured(row['trained_here']),
        f'`{row["config"]}`' if row['config'] else '',
      ]
    )
  always = {'ported', 'trained here', *table['columns']}
  shown = [
    i
    for i, name in enumerate(header)
    if name in always or any(line[i] for line in lines)
  ]
  text = [f'## {table["title"]}', '', f'{table["source"]}.', '']
  for line in (header, ['---'] * len(header), *lines):
    text.append('| ' + ' | '.join(line[i] for i in shown) + ' |')
  text += ['', *(f'[{i}] {note}  ' for i, note in enumerate(footnotes, 1))]
  return '\n'.join(text).rstrip() + '\n'


PREFACE = """# The papers' tables

Made by `python -m tools.paper_tables`; `--check` tells whether a count drifted.
Under the papers' own headings are their figures; `counted here` are our models
at full size, `as executed` with the rearranged products of this code (in
batches of one example, on a CPU, padding included). `ported`: published
weights, imported and evaluated here. `trained here`: our own. Sizes and options
are those of our models, too, where no (here ...) says otherwise. What is not
known is left empty.

A row's config trains it, `python train.py --config=<config> --workdir=<run>`,
and evaluates it, `python eval.py --config=<config> --workdir=<run>`, or with
`--config.init_from.path=<checkpoint>` weights that
`python -m tools.convert_weights` imported. `<task>` is one of cola, mnli, mrpc,
qnli, qqp, rte, sst2 and stsb.
"""


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  data = json.loads(PUBLISHED.read_text())
  tables = data['tables']
  recounts = RECORD.value or CHECK.value
  counts = count_all(tables) if recounts else data['counted']
  if RECORD.value:
    text = PUBLISHED.read_text()
    before = text[: text.index('"counted":')]
    recorded = ',\n'.join(
      f'  {json.dumps(model)}: {json.dumps(counts[model])}' for model in counts
    )
    PUBLISHED.write_text(f'{before}"counted": {{\n{recorded}\n }}\n}}\n')
    return
  if CHECK.value:
    problems = drifts(tables, data['counted'], counts)
    print('\n'.join(problems) or f'{len(counts)} models are as recorded.')
    sys.exit(bool(problems))
  results = read_results(RESULTS.value)
  filled = [fill(table, counts, results) for table in tables]
  if JSON.value:
    print(json.dumps(filled, indent=1, ensure_ascii=False))
  else:
    print('\n'.join([PREFACE, *map(markdown, filled)]), end='')


if __name__ == '__main__':
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  app.run(main)

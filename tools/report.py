"""Writes a page about a run: `python -m tools.report --workdir=...`.

index.html in the workdir: the last evaluation, the learning curves and the
pictures of the run's evaluators as of their last step, with their captions. It
needs no server and nothing from elsewhere; all of it moves with the workdir.

The albums are the folders in `pictures`, and those in them. What pictures show
they say themselves (`train_lib.pictures`): title and comment are an album's,
taken from its first picture, the description is each picture's own.
"""

import html
import json
import pathlib
import urllib.parse
from collections import defaultdict
from typing import Any

from absl import app, flags

from tools import plot_metrics
from train_lib import pictures

_STYLE = """
:root { color-scheme: light; --line: #e2e5e9; --quiet: #5d6673; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem 4rem;
  color: #1b1f24; background: #fff;
  font: 16px/1.5 system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }
h1 { margin: 0; font-size: 1.75rem; }
h2 { margin: 3rem 0 .75rem; font-size: 1.2rem; }
h2 small { color: var(--quiet); font-weight: normal; }
p, figcaption { color: var(--quiet); }
p { margin: .25rem 0; }
code { font: .9em ui-monospace, 'DejaVu Sans Mono', monospace;
  overflow-wrap: anywhere; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1.5rem .3rem 0; text-align: right;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--quiet); font-weight: normal; }
tbody th { padding-top: 1rem; }
.pictures { display: grid; gap: 1.5rem 2rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 31rem), 1fr)); }
figure { margin: 0; }
figcaption { font-size: .875rem; }
img { display: block; max-width: 100%; height: auto; }
"""


def make_page(workdir: pathlib.Path) -> str:
  """The page of a run, whose links are relative to its workdir.

  Raises:
    FileNotFoundError: there is no metrics.jsonl in the workdir.
  """
  curves = plot_metrics.read_curves(str(workdir / 'metrics.jsonl'))
  name = html.escape(workdir.resolve().name)
  parts = [f'<h1>{name}</h1>', _origin(workdir, curves)]
  parts += ['<h2>Last evaluation</h2>', _table(curves, _results(workdir))]
  if (workdir / 'curves.png').exists():
    parts += [
      '<h2>Learning curves</h2>',
      _figure(workdir, workdir / 'curves.png', '', 'loss and metrics'),
    ]
  for album, paths in last_pictures(workdir).items():
    texts = pictures.texts(paths[0])
    title, comment = texts.get('Title', album), texts.get('Comment', '')
    head = f'{html.escape(title)} <small>{html.escape(album)}</small>'
    parts += [f'<h2>{head}</h2>', f'<p>{html.escape(comment)}</p>']
    parts.append('<div class="pictures">')
    for path in paths:
      caption = pictures.texts(path).get('Description', '')
      parts.append(_figure(workdir, path, caption, caption or title))
    parts.append('</div>')
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
    + '\n'.join(parts)
    + '\n</body>\n</html>\n'
  )


def last_pictures(workdir: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Album, such as clusters or flow/sintel -> its files of the last step."""
  root = workdir / 'pictures'
  found = {}
  for folder in sorted({*root.glob('*/'), *root.glob('*/*/')}):
    steps = pictures.by_step(folder)
    if steps:
      found[folder.relative_to(root).as_posix()] = steps[max(steps)]
  return found


def _results(workdir) -> dict[str, Any]:
  """What eval.py kept, {} if it did not run."""
  path = workdir / 'results.json'
  return json.loads(path.read_text()) if path.exists() else {}


def _origin(workdir, curves) -> str:
  last = max(steps[-1] for steps, _ in curves.values())
  lines = [f'{last:,} steps.']
  if results := _results(workdir):
    lines.append(
      f'Evaluated {html.escape(results["date"])} by '
      f'<code>{html.escape(results["command"])}</code>'
    )
  return '\n'.join(f'<p>{line}</p>' for line in lines)


def _table(curves, results) -> str:
  """The evaluators' metrics: the last value, and the range of several.

  Those that only eval.py found have no step.
  """
  later = results.get('metrics', {})
  curves = {name: ([], [x]) for name, x in later.items()} | curves
  groups = defaultdict(list)
  for name, (steps, values) in curves.items():
    evaluator, _, metric = name.rpartition('/')
    if not evaluator:  # of training
      continue
    cells = [html.escape(metric.replace('_', ' ')), f'{values[-1]:.4g}']
    several = len(values) > 1
    cells += [f'{f(values):.4g}' if several else '' for f in (min, max)]
    cells.append(f'{steps[-1]:,}' if steps else '')
    groups[evaluator].append('<td>' + '</td><td>'.join(cells) + '</td>')
  heads = ('', 'last', 'lowest', 'highest', 'at step')
  rows = ['<table>', '<thead><tr>', *(f'<th>{x}</th>' for x in heads)]
  rows.append('</tr></thead>')
  for evaluator, lines in sorted(groups.items()):
    rows.append(
      f'<tbody><tr><th colspan="5">{html.escape(evaluator)}</th></tr>'
    )
    rows += [f'<tr>{line}</tr>' for line in lines]
    rows.append('</tbody>')
  return '\n'.join([*rows, '</table>'])


def _figure(workdir, path, caption, alternative) -> str:
  link = urllib.parse.quote(path.relative_to(workdir).as_posix())
  width, height = pictures.size(path)
  return (
    f'<figure><a href="{link}"><img src="{link}" width="{width}" '
    f'height="{height}" alt="{html.escape(alternative)}"></a>'
    f'<figcaption>{html.escape(caption)}</figcaption></figure>'
  )


def main(argv):
  del argv
  workdir = pathlib.Path(plot_metrics.WORKDIR.value)
  source = workdir / 'metrics.jsonl'
  if not source.exists():
    raise app.UsageError(f'--workdir: {source} does not exist; train first.')
  plot_metrics.plot(
    plot_metrics.read_curves(str(source)), str(workdir / 'curves.png')
  )
  (workdir / 'index.html').write_text(make_page(workdir), encoding='utf-8')
  print(workdir / 'index.html')


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  app.run(main)

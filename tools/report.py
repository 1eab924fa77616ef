"""Writes a page about a run: `python -m tools.report --workdir=...`.

index.html in the workdir: the last evaluation, the learning curves and the
pictures of the run's evaluators as of their last step, with their captions. It
needs no server and nothing from elsewhere; all of it moves with the workdir.

What pictures show they say themselves, by PNG's keywords: Title and Comment are
a folder's, taken from its first picture, Description is each picture's own.
"""

import html
import json
import pathlib
import re
import urllib.parse
from collections import defaultdict

import PIL.Image
from absl import app, flags

from tools import plot_metrics

_STYLE = """
:root { color-scheme: light; --line: #e2e5e9; --quiet: #5d6673; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem 4rem;
  color: #1b1f24; background: #fff;
  font: 16px/1.5 system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }
h1 { margin: 0; font-size: 1.75rem; }
h2 { margin: 3rem 0 .75rem; font-size: 1.2rem; }
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
_STEP = re.compile(r'(\d+)_')


def make_page(workdir: pathlib.Path) -> str:
  """The page of a run, whose links are relative to its workdir.

  Raises:
    FileNotFoundError: there is no metrics.jsonl in the workdir.
  """
  curves = plot_metrics.read_curves(str(workdir / 'metrics.jsonl'))
  name = html.escape(workdir.resolve().name)
  parts = [f'<h1>{name}</h1>', _origin(workdir, curves)]
  parts += ['<h2>Last evaluation</h2>', _table(curves)]
  if (workdir / 'curves.png').exists():
    parts += [
      '<h2>Learning curves</h2>',
      _figure(workdir, workdir / 'curves.png', '', 'loss and metrics'),
    ]
  for title, paths in last_pictures(workdir).items():
    comment = html.escape(_text(paths[0], 'Comment', ''))
    parts += [f'<h2>{html.escape(title)}</h2>', f'<p>{comment}</p>']
    parts.append('<div class="pictures">')
    for path in paths:
      caption = _text(path, 'Description', '')
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
  """Title -> PNG files <folder>/<step>_<number>.png of the last step."""
  found = {}
  for folder in sorted(x for x in workdir.iterdir() if x.is_dir()):
    steps = defaultdict(list)
    for path in folder.glob('*.png'):
      if match := _STEP.match(path.name):
        steps[int(match[1])].append(path)
    if steps:
      paths = sorted(steps[max(steps)], key=lambda x: (len(x.name), x.name))
      found[_text(paths[0], 'Title', folder.name)] = paths
  return found


def _text(path, keyword, default) -> str:
  with PIL.Image.open(path) as picture:
    return picture.info.get(keyword, default)


def _origin(workdir, curves) -> str:
  """What was run; eval.py keeps that in results.json."""
  last = max(steps[-1] for steps, _ in curves.values())
  lines = [f'{last:,} steps.']
  path = workdir / 'results.json'
  if path.exists():
    results = json.loads(path.read_text())
    lines.append(
      f'Evaluated {html.escape(results["date"])} by '
      f'<code>{html.escape(results["command"])}</code>'
    )
  return '\n'.join(f'<p>{line}</p>' for line in lines)


def _table(curves) -> str:
  """The evaluators' metrics: the last value, and the range of several."""
  groups = defaultdict(list)
  for name, (steps, values) in curves.items():
    evaluator, _, metric = name.rpartition('/')
    if not evaluator:  # of training
      continue
    cells = [html.escape(metric.replace('_', ' ')), f'{values[-1]:.4g}']
    several = len(values) > 1
    cells += [f'{f(values):.4g}' if several else '' for f in (min, max)]
    cells.append(f'{steps[-1]:,}')
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
  with PIL.Image.open(path) as picture:
    width, height = picture.size
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

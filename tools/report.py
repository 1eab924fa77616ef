"""Writes a page about runs: `python -m tools.report --workdir=...`.

index.html in the workdir: what was trained, on what and for how long, the last
evaluation, the learning curves and the pictures of the run's evaluators as of
their last step, with their captions. It needs no server and nothing from
elsewhere; all of it moves with the workdir. Several runs are set beside each
other, `--workdir=runs/a,runs/b`, on the page of the first.

The albums are the folders in `pictures`, and those in them. What pictures show
they say themselves (`train_lib.pictures`): title and comment are an album's,
taken from its first picture, the description is each picture's own.
"""

import contextlib
import dataclasses
import functools
import html
import os
import pathlib
import sys
import urllib.parse
from collections import defaultdict
from typing import Any

from absl import app, flags

from tools import plot_metrics
from train_lib import mirror, pictures, places, runtime, strict_json, writer

_STYLE = pathlib.Path(__file__).with_suffix('.css')


@dataclasses.dataclass(frozen=True)
class Run:
  """What a workdir tells about its run.

  Attributes:
    workdir: of the run, or what was fetched of it.
    base: the folder of the page, to which links are relative.
  """

  workdir: pathlib.Path
  base: pathlib.Path

  @property
  def name(self) -> str:
    return pathlib.Path(places.shown(self.workdir.resolve())).name

  @functools.cached_property
  def curves(self) -> dict[str, tuple[list[int], list[float]]]:
    """Name -> steps and values of every scalar; raises FileNotFoundError."""
    return plot_metrics.read_curves(str(self.workdir / writer.METRICS))

  @functools.cached_property
  def results(self) -> dict[str, Any]:
    """What eval.py kept, {} if it did not run."""
    path = self.workdir / 'results.json'
    if not path.exists():
      return {}
    try:
      return _checked(strict_json.loads(path.read_text()))
    except (ValueError, OSError) as e:
      _left_out(path, e)
      return {}

  @property
  def about(self) -> dict[str, Any]:
    return self.results.get('about', {})

  @property
  def num_steps(self) -> int:
    return max(steps[-1] for steps, _ in self.curves.values())

  @functools.cached_property
  def metrics(self) -> dict[str, tuple[list[int], list[float]]]:
    """The evaluators', what decides first; those of eval.py have no steps."""
    later = self.results.get('metrics', {})
    found = {name: ([], [x]) for name, x in later.items()} | self.curves
    found = {name: x for name, x in found.items() if '/' in name}
    return dict(sorted(found.items(), key=lambda x: self._place(x[0])))

  def _place(self, name: str):
    """Sorts by the config's order of evaluators, accuracies before others."""
    order = self.about.get('evals', [])
    evaluator, _, metric = name.rpartition('/')
    place = order.index(evaluator) if evaluator in order else len(order)
    first = name == self.about.get('best_metric')
    return place, evaluator, not first, metric != 'accuracy', metric

  def training_seconds(self) -> float | None:
    """Of training alone, from the rates; None if they are not known."""
    batch_size = self.about.get('batch_size')
    if batch_size is None or 'examples_per_second' not in self.curves:
      return None
    total, last = 0.0, 0
    for step, rate in zip(*self.curves['examples_per_second'], strict=True):
      total, last = total + (step - last) * batch_size / rate, step
    return total

  def albums(self) -> dict[str, list[pathlib.Path]]:
    """`last_pictures` in the config's order of evaluators."""
    found = last_pictures(self.workdir)
    return {name: found[name] for name in sorted(found, key=self._album_place)}

  def _album_place(self, album: str):
    order, evaluator = self.about.get('evals', []), album.split('/')[0]
    place = order.index(evaluator) if evaluator in order else len(order)
    return place, album


def _checked(results: Any) -> dict[str, Any]:
  """What eval.py writes; raises ValueError for anything else."""
  metrics = results.get('metrics', {}) if isinstance(results, dict) else None
  if not isinstance(metrics, dict) or not isinstance(
    results.setdefault('about', {}), dict
  ):
    raise ValueError('expected what eval.py writes.')
  wrong = [k for k, x in metrics.items() if not isinstance(x, int | float)]
  if wrong:
    raise ValueError(f'metrics.{wrong[0]}: expected a number.')
  return results


def _left_out(path: pathlib.Path, error: Exception) -> None:
  text = ' '.join(str(error).split())
  print(f'{path} cannot be read ({text:.200}); left out.', file=sys.stderr)


def make_page(*workdirs: pathlib.Path) -> str:
  """The page of runs, whose links are relative to the first one's workdir.

  Raises:
    FileNotFoundError: there is no metrics.jsonl in a workdir.
  """
  runs = [Run(workdir, workdirs[0]) for workdir in workdirs]
  name = html.escape(' and '.join(run.name for run in runs))
  parts = [f'<h1>{name}</h1>', _facts(runs), '<h2>Last evaluation</h2>']
  parts.append(_table(runs[0]) if len(runs) == 1 else _comparison(runs))
  for run in runs:
    if len(runs) > 1:
      parts.append(f'<h2>{html.escape(run.name)}</h2>')
    parts += _pictures(run)
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f'<title>{name}</title>\n<style>\n{_STYLE.read_text()}</style>\n</head>\n<body>\n'
    + '\n'.join(parts)
    + '\n</body>\n</html>\n'
  )


def _facts(runs: list[Run]) -> str:
  """A line a fact, a column a run: the metric that decides comes first."""
  lines = []
  best = runs[0].about.get('best_metric')
  if any(best in run.metrics for run in runs):
    cells = [
      f'{_last(run, best):.4g}' if best in run.metrics else '' for run in runs
    ]
    lines.append(('first', best.replace('/', ' ').replace('_', ' '), cells))
  names = {
    'task': 'task',
    'data': 'data',
    'parameters': 'parameters',
    'batch_size': 'examples a step',
    'device': 'evaluated on',
  }
  lines.append(
    ('', 'trained for', [f'{run.num_steps:,} steps.' for run in runs])
  )
  for key, name in names.items():
    values = [run.about.get(key, '') for run in runs]
    values = [f'{x:,}' if isinstance(x, int) else x for x in values]
    lines.append(('', name, values))
  times = [run.training_seconds() for run in runs]
  times = ['' if x is None else f'{x / 60:.1f} minutes' for x in times]
  lines.append(('', 'training took', times))
  for key in ('config', 'date', 'command'):
    values = [run.results.get(key, '') for run in runs]
    lines.append(('', 'evaluated' if key == 'date' else key, values))
  rows = []
  if len(runs) > 1:
    rows.append(('', '', [run.name for run in runs]))
  rows += [line for line in lines if any(line[2])]
  return _html_table(rows)


def _html_table(rows) -> str:
  """Rows of a class, a name and cells."""
  lines = ['<table>']
  for kind, name, cells in rows:
    start = f'<tr class="{kind}">' if kind else '<tr>'
    cells = ''.join(f'<td>{html.escape(str(x))}</td>' for x in (name, *cells))
    lines.append(f'{start}{cells}</tr>')
  return '\n'.join([*lines, '</table>'])


def _last(run: Run, metric: str) -> float:
  return run.metrics[metric][1][-1]


def _comparison(runs: list[Run]) -> str:
  """The last value of each metric, a column a run."""
  names = list(dict.fromkeys(name for run in runs for name in run.metrics))
  rows = [('', '', [run.name for run in runs])]
  for name in names:
    cells = [
      f'{_last(run, name):.4g}' if name in run.metrics else '' for run in runs
    ]
    rows.append(('', name.replace('/', ' ').replace('_', ' '), cells))
  return _html_table(rows)


def _pictures(run: Run) -> list[str]:
  """Learning curves, then the evaluators' albums."""
  parts = []
  curves = run.workdir / 'curves.png'
  if curves.exists() and _is_readable(curves):
    parts.append('<h2>Learning curves</h2>')
    parts.append(_figure(run.base, curves, '', 'loss and metrics'))
  for album, paths in run.albums().items():
    paths = [path for path in paths if _is_readable(path)]
    if not paths:
      continue
    texts = pictures.texts(paths[0])
    title, comment = texts.get('Title', album), texts.get('Comment', '')
    head = f'{html.escape(title)} <small>{html.escape(album)}</small>'
    parts += [f'<h2>{head}</h2>', f'<p>{html.escape(comment)}</p>']
    parts.append('<div class="pictures">')
    for path in paths:
      caption = pictures.texts(path).get('Description', '')
      parts.append(_figure(run.base, path, caption, caption or title))
    parts.append('</div>')
  return parts


def _is_readable(path: pathlib.Path) -> bool:
  try:
    pictures.size(path)
    pictures.texts(path)
  except (OSError, ValueError, TypeError, SyntaxError) as e:
    _left_out(path, e)
    return False
  return True


def last_pictures(workdir: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Album, such as clusters or flow/sintel -> its files of the last step."""
  root = workdir / 'pictures'
  found = {}
  for folder in sorted({*root.glob('*/'), *root.glob('*/*/')}):
    steps = pictures.by_step(folder)
    if steps:
      found[folder.relative_to(root).as_posix()] = steps[max(steps)]
  return found


def _table(run: Run) -> str:
  """The evaluators' metrics: the last value, and the range of several."""
  groups = defaultdict(list)
  for name, (steps, values) in run.metrics.items():
    evaluator, _, metric = name.rpartition('/')
    cells = [html.escape(metric.replace('_', ' ')), f'{values[-1]:.4g}']
    several = len(values) > 1
    cells += [f'{f(values):.4g}' if several else '' for f in (min, max)]
    cells.append(f'{steps[-1]:,}' if steps else '')
    groups[evaluator].append('<td>' + '</td><td>'.join(cells) + '</td>')
  heads = ('', 'last', 'lowest', 'highest', 'at step')
  rows = ['<table>', '<thead><tr>', *(f'<th>{x}</th>' for x in heads)]
  rows.append('</tr></thead>')
  for evaluator, lines in groups.items():
    rows.append(
      f'<tbody><tr><th colspan="5">{html.escape(evaluator)}</th></tr>'
    )
    rows += [f'<tr>{line}</tr>' for line in lines]
    rows.append('</tbody>')
  return '\n'.join([*rows, '</table>'])


def _figure(base, path, caption, alternative) -> str:
  path_shown, base_shown = places.shown(path), places.shown(base)
  link = pathlib.Path(os.path.relpath(path_shown, base_shown)).as_posix()
  link = urllib.parse.quote(link)
  width, height = pictures.size(path)
  return (
    f'<figure><a href="{link}"><img src="{link}" width="{width}" '
    f'height="{height}" alt="{html.escape(alternative)}"></a>'
    f'<figcaption>{html.escape(caption)}</figcaption></figure>'
  )


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  workdirs = plot_metrics.WORKDIR.value.split(',')
  for workdir in workdirs:
    plot_metrics.check(workdir)
  if len({places.in_bucket(places.of(x)) for x in workdirs}) > 1:
    raise ValueError(
      f'--workdir: found {",".join(workdirs)}; expected folders alone, or '
      'buckets: a page has links to all.'
    )
  with contextlib.ExitStack() as stack:
    opened = [
      stack.enter_context(contextlib.closing(mirror.Mirror(workdir)))
      for workdir in workdirs
    ]
    for files in opened:
      files.fetch(writer.METRICS, 'results.json')
      files.fetch_last_pictures()
      plot_metrics.plot_run(files.folder)
    folders = [pathlib.Path(files.folder) for files in opened]
    page = folders[0] / 'index.html'
    page.write_text(make_page(*folders), encoding='utf-8')
  print(places.shown(page))


if __name__ == '__main__':
  flags.mark_flag_as_required('workdir')
  runtime.run(main)

"""Plots of docs/claims.md: PNG files in docs/images/."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import matplotlib.figure
import matplotlib.ticker

from tools.claims import store
from tools.claims.figures import interval

FOLDER = store.ROOT / 'docs' / 'images'


class Plot(NamedTuple):
  """Attributes:
  file: its name.
  part: of the page, below which it stands.
  caption: what it shows.
  draw: folder of results -> figure; None if nothing was measured.
  """

  file: str
  part: str
  caption: str
  draw: Callable[[pathlib.Path], matplotlib.figure.Figure | None]


def _figure(width, height, columns=1):
  figure = matplotlib.figure.Figure((width, height), layout='constrained')
  return figure, figure.subplots(1, columns, squeeze=False)[0]


_COLOURS = {
  'full, all logits': 'tab:red',
  'full, chunked': 'tab:orange',
  'PaCa, 64 clusters': 'tab:blue',
  'PaCa, 100 clusters': 'tab:cyan',
}


def _line(axis, name, rows, scale):
  """Rows: size as a text -> a number."""
  sizes = sorted(map(int, rows))
  values = [rows[str(n)] / scale for n in sizes]
  axis.plot(sizes, values, marker='o', label=name, color=_COLOURS[name])


def costs(folder: pathlib.Path) -> matplotlib.figure.Figure | None:
  """Operations, memory and time of a block over the number of patches."""
  growth = store.read('growth_of_attention', folder)
  times = store.read('time_of_attention', folder)
  if growth is None or times is None:
    return None
  figure, axes = _figure(11, 3.4, 3)
  for i, (key, label, scale) in enumerate(
    (
      ('multiply_adds', '10⁹ multiply-adds', 1e9),
      ('training_bytes', 'MiB of temporaries, training', 2**20),
    )
  ):
    for name, rows in growth['values'].items():
      of_key = {n: row[key] for n, row in rows.items()}
      _line(axes[i], name, of_key, scale)
    axes[i].set_ylabel(label)
  for name, rows in times['values'].items():
    if name in _COLOURS:
      _line(axes[2], name, rows, 1e-3)
  axes[2].set_ylabel('CPU milliseconds, forward')
  for axis in axes:
    axis.set(xscale='log', yscale='log', xlabel='patches N')
    axis.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)
  return figure


def of_study(name: str) -> Callable[[pathlib.Path], Any]:
  """A dot a seed, and the mean with its interval."""

  def draw(folder: pathlib.Path) -> matplotlib.figure.Figure | None:
    content = store.read(name, folder)
    if content is None:
      return None
    values = {}
    for run in content['runs']:
      values.setdefault(run['setting'], []).append(run['value'])
    figure, (axis,) = _figure(7, 1.2 + 0.32 * len(values))
    for i, x in enumerate(reversed(values.values())):
      axis.plot(x, [i] * len(x), 'o', color='tab:blue', alpha=0.5)
      if len(x) > 1:
        mean = interval(x)
        axis.errorbar(
          mean.mean, i, xerr=mean.half, fmt='|', color='black', capsize=3
        )
    axis.set_yticks(range(len(values)), [*reversed(values)])
    axis.set_xlabel(content['metric'])
    axis.grid(axis='x', alpha=0.3)
    return figure

  return draw


_LEARNED = 'What is learned'
PLOTS = (
  Plot(
    'claims_costs.png',
    'Operations, memory, time',
    'Operations, memory and time of a narrow ViT block over its patches',
    costs,
  ),
  *(
    Plot(f'claims_{name}.png', _LEARNED, caption, of_study(name))
    for name, caption in (
      ('attentions', 'A plain ViT with each attention: seeds and interval'),
      ('permuted', 'Digits whose pixels are permuted: seeds and interval'),
    )
  ),
)


def write() -> None:
  """Draws what was measured; what was not has no picture."""
  for plot in PLOTS:
    figure = plot.draw(store.RESULTS)
    path = FOLDER / plot.file
    if figure is not None:
      figure.savefig(path, dpi=110, metadata={'Software': None})
    else:
      path.unlink(missing_ok=True)

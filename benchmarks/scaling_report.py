"""What `benchmarks.scaling` measured, as a page, a plot and a table of numbers.

A row has part, name, size, parameters, multiply_adds, temporary_bytes, seconds.
"""

import csv
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

Row = Mapping[str, Any]
# key of a row -> title, factor, unit
QUANTITIES = {
  'multiply_adds': ('multiply-adds', 1e-9, 'G'),
  'temporary_bytes': ('temporaries', 2**-20, 'MiB'),
  'seconds': ('time', 1e3, 'ms'),
}
PAGE = """# Cost of attention

Made by `python -m benchmarks.scaling --output=docs`: {day},
{surroundings}. All numbers are in [scaling.csv](scaling.csv).

For a batch of one in float32: multiply-adds of all products, counted in the
program; temporaries, the peak of memory beside arguments and results by XLA's
analysis; the least time of several runs, where they were affordable. Where
other programs wait for the same cores (the load average counts them), times say
little, and long runs suffer more than short ones: their exponents come out too
large. Operations and memory do not depend on that.

![Cost over size](images/scaling.png)

*Exponent* is b of the best a · size^b by least squares in logarithms, over the
upper half of the sizes that were measured, which the plot shows as filled
points. *All logits* holds every logit, as the papers' own code does; *chunked*
is exact, too, but holds none of them, and is what both models do where there
are many (`perceiver_paca/ops/attention.py`).

## Perceiver IO

A small one: N = 256 latents, 8 layers, 64 channels everywhere. Neither the
inputs M nor the queries O enter what happens between encoder and decoder.

{perceiver}
## PaCa in a ViT block

Attention and MLP of C = 96 channels, 3 heads of D = 32; M clusters, windows of
W = 129 tokens (99 of 196), rank or random features R = 64.

{blocks}
## PaCa in a whole ViT

DeiT-small at 224 x 224, N = 196 tokens: one class, `baselines/vit.py`, with
each attention in all of its twelve blocks. *Interactions* are pairs of a query
and a key.

{classifiers}
At so few patches most products are those of the MLPs and projections, and what
clustering costs is of the order of what it saves: see the plot for where it
pays.
"""


def upper_half(sizes: Sequence[float]) -> np.ndarray:
  """Which sizes are in the upper half of their range, in logarithms."""
  logs = np.log(sizes)
  return logs >= (logs.min() + logs.max()) / 2


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
  """b of the best a size^b: least squares in logarithms, upper half."""
  used = upper_half(sizes)
  return float(np.polyfit(np.log(sizes)[used], np.log(values)[used], 1)[0])


def tables(
  rows: Sequence[Row],
  perceiver: Mapping[str, Any],
  blocks: Mapping[str, Any],
  attentions: Mapping[str, Any],
) -> dict[str, str]:
  """Markdown tables of the three parts.

  Args:
    rows: see the top of this file.
    perceiver, blocks: the `Curve`s of both parts.
    attentions: the `Attention`s of the ViT.
  """
  return {
    'perceiver': _curves_table(rows, 'Perceiver IO', perceiver),
    'blocks': _curves_table(rows, 'ViT block', blocks),
    'classifiers': _classifier_table(rows, attentions),
  }


def write(
  folder: pathlib.Path,
  rows: Sequence[Row],
  perceiver: Mapping[str, Any],
  blocks: Mapping[str, Any],
  attentions: Mapping[str, Any],
  surroundings: str,
) -> None:
  """Writes scaling.csv, images/scaling.png and scaling.md; prints the tables.

  Args: as those of `tables`, and
    folder: made if it does not exist.
    surroundings: where the times were measured.
  """
  (folder / 'images').mkdir(parents=True, exist_ok=True)
  with open(folder / 'scaling.csv', 'w', newline='') as file:
    writer = csv.DictWriter(file, rows[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
  figure = _plot(rows, {'Perceiver IO': perceiver, 'ViT block': blocks})
  figure.savefig(folder / 'images' / 'scaling.png', dpi=80)
  texts = tables(rows, perceiver, blocks, attentions)
  page = PAGE.format(
    day=datetime.date.today(), surroundings=surroundings, **texts
  )
  (folder / 'scaling.md').write_text(page)
  print('\n'.join(texts.values()))


def _plot(rows, parts) -> Figure:
  figure = Figure(figsize=(15, 9), layout='constrained')
  lines = zip(figure.subplots(2, 3), parts.items(), strict=True)
  for line, (part, curves) in lines:
    letters = dict.fromkeys(curve.letter for curve in curves.values())
    for axis, quantity in zip(line, QUANTITIES, strict=True):
      title, factor, unit = QUANTITIES[quantity]
      for i, name in enumerate(curves):
        sizes, values = _points(rows, part, name, quantity)
        label = f'{name}: {exponent(sizes, values):.2f}'
        options = dict(color=f'C{i}', markersize=5)
        axis.loglog(
          *(sizes, values * factor, 'o-'), **options, mfc='white', label=label
        )
        used = upper_half(sizes)
        axis.loglog(sizes[used], values[used] * factor, 'o', **options)
      if part == 'Perceiver IO':
        _, (value,) = _points(rows, part, 'process', quantity)
        axis.axhline(value * factor, color='grey', ls='--', label='process')
      axis.set_title(f'{part}: {title} ({unit})')
      axis.set_xlabel(' or '.join(letters))
      axis.grid(alpha=0.3)
      axis.legend(fontsize=8, title='exponent', title_fontsize=8)
  return figure


def _points(rows, part, name, quantity):
  """Sizes and values of what was measured of a curve."""
  points = [
    (row['size'], row[quantity])
    for row in rows
    if (row['part'], row['name']) == (part, name) and row[quantity] is not None
  ]
  return np.array(points).T


def _curves_table(rows, part, curves) -> str:
  titles = [title for title, _, _ in QUANTITIES.values()]
  lines = [['', 'products', *(f'exponent of {title}' for title in titles)]]
  lines[0] += ['at', *titles]
  mine = [row for row in rows if row['part'] == part]
  for name, curve in curves.items():
    exponents = [
      f'{exponent(*_points(rows, part, name, quantity)):.2f}'
      for quantity in QUANTITIES
    ]
    last = [row for row in mine if row['name'] == name and row['seconds']][-1]
    at = f'{curve.letter} = {last["size"]:,}'
    lines.append([name, curve.complexity, *exponents, at, *_values(last)])
  for row in mine:
    if row['name'] == 'process':
      lines.append(['process', 'L N² C', '0', '0', '0', 'any', *_values(row)])
  return _markdown(lines)


def _classifier_table(rows, attentions) -> str:
  titles = [title for title, _, _ in QUANTITIES.values()]
  lines = [['attention', 'interactions', 'parameters', *titles]]
  for row in rows:
    if row['part'] == 'DeiT-small':
      interactions = attentions[row['name']].interactions
      pairs = f'{interactions(row["size"]):,}' if interactions else ''
      parameters = f'{row["parameters"]:,}'
      lines.append([row['name'], pairs, parameters, *_values(row)])
  return _markdown(lines)


def _values(row) -> list[str]:
  return [
    f'{row[quantity] * factor:,.1f} {unit}'
    for quantity, (_, factor, unit) in QUANTITIES.items()
  ]


def _markdown(lines) -> str:
  lines = [lines[0], ['---'] * len(lines[0]), *lines[1:]]
  return ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)

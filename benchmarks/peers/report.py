"""The tables of docs/speed.md, from the files in results/speed."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
FOLDER, PAGE = ROOT / 'results' / 'speed', ROOT / 'docs' / 'speed.md'
KEYS = {
  *('row', 'sides', 'threads', 'load', 'cores', 'machine', 'date', 'versions')
}
BEGIN, END = '<!-- begin: peers -->\n', '<!-- end: peers -->\n'
HEADER = (
  '| | | CPU s a pass (least to most) | s by the clock | ratio, CPU '
  '| ratio, clock | peak MiB | first, CPU s | load |\n'
  '|---|---|---|--:|--:|--:|--:|--:|--:|'
)


def lines(row: Mapping[str, Any]) -> Iterator[str]:
  """The row's lines of the table, one a side; ratios are ours to the side."""
  from benchmarks.peers import rows

  title = rows.ROWS[row['row']].title
  if row['threads'] > 1:
    title += f', {row["threads"]} threads'
  medians = {
    side: {kind: float(np.median(x[kind])) for kind in ('cpu', 'wall')}
    for side, x in row['sides'].items()
  }
  for side, figures in row['sides'].items():
    median = medians[side]
    ratios = ['', '']
    if side != rows.OURS and rows.OURS in medians:
      ratios = [
        f'{median[kind] / medians[rows.OURS][kind]:.2f}'
        for kind in ('cpu', 'wall')
      ]
    load = ' to '.join(f'{x:.0f}' for x in row['load'])
    cells = (
      *(title, side),
      f'{median["cpu"]:.3f} ({min(figures["cpu"]):.3f} to '
      f'{max(figures["cpu"]):.3f})',
      *(f'{median["wall"]:.3f}', *ratios, f'{figures["peak_mib"]:,}'),
      *(f'{figures["first"]["cpu"]:.0f}', load),
    )
    yield f'| {" | ".join(cells)} |'
    title = ''


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The rows that are kept there, by name.

  Raises:
    ValueError: a row lacks a key or has another one.
  """
  found = []
  for path in sorted(folder.glob('*.json')):
    for row in json.loads(path.read_text()):
      if set(row) != KEYS:
        raise ValueError(
          f'{path.name}: found {sorted(row)}, expected {sorted(KEYS)}.'
        )
      found.append(row)
  return found


def tables(rows: list[dict[str, Any]]) -> str:
  """A table for each processor, and what it was measured with."""
  machines = {}
  for row in rows:
    machines.setdefault(row['machine'], []).append(row)
  parts = []
  for machine, its in machines.items():
    parts += [f'### {machine}', '', HEADER]
    parts += [line for row in its for line in lines(row)]
    where = {
      f'{row["cores"]} cores, {row["date"]}: '
      + ', '.join(f'{k} {v}' for k, v in row['versions'].items())
      for row in its
    }
    parts += ['', *sorted(where), '']
  return '\n'.join(parts)


def with_table(page: str) -> str:
  """The page with the tables that the files say between its two marks."""
  before, _, rest = page.partition(BEGIN)
  _, _, after = rest.partition(END)
  return before + BEGIN + tables(read(FOLDER)) + END + after

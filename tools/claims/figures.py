"""Published and counted figures, from tools/published.json; intervals."""

import functools
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from tools import paper_tables


@functools.cache
def _tables():
  return json.loads(paper_tables.PUBLISHED.read_text())


def published(table: str, row: str, column: str) -> str:
  """A figure as published.

  Args:
    table: its `id`, such as 'io-7'.
    row: its `name`.
    column: one of the table's columns, 'params' or 'flops'.

  Raises:
    KeyError: there is none.
  """
  for found in _tables()['tables']:
    if found['id'] == table:
      for candidate in found['rows']:
        if candidate['name'] == row:
          named = zip(found['columns'], candidate['values'], strict=True)
          return {**candidate, **dict(named)}[column]
  raise KeyError((table, row, column))


def counted(model: str) -> dict[str, float]:
  """Of a published model as recorded: parameters in millions, 10^9 products.

  `python -m tools.paper_tables --check` counts them again.
  """
  found = _tables()['counted'][model]
  return {
    'parameters': found['parameters'] / 1e6,
    'multiply_adds': found['multiply_adds'] / 1e9,
    'flops': 2 * found['multiply_adds'] / 1e9,
  }


class Interval(NamedTuple):
  """A mean and half of its 95 % interval, by Student's t."""

  mean: float
  half: float

  @property
  def low(self) -> float:
    return self.mean - self.half

  @property
  def high(self) -> float:
    return self.mean + self.half

  def __str__(self):
    return f'{self.mean:.3f} ± {self.half:.3f}'


def interval(values: Sequence[float]) -> Interval:
  """Of what several seeds gave; infinitely wide for one."""
  n = len(values)
  if n < 2:
    return Interval(float(np.mean(values)), math.inf)
  error = np.std(values, ddof=1) / math.sqrt(n)
  return Interval(
    float(np.mean(values)), float(stats.t.ppf(0.975, n - 1) * error)
  )


def difference(a: Sequence[float], b: Sequence[float]) -> Interval:
  """Of a - b, seed by seed: both see the same batches in the same order."""
  return interval(np.subtract(a, b))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
  """b of the best a size^b by least squares in logarithms."""
  return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])

"""JSON that every reader takes: numbers that are not finite are null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, **options: Any) -> str:
  """As `json.dumps`, but NaN and the infinities become null."""
  return json.dumps(_strict(value), allow_nan=False, **options)


def _strict(value: Any) -> Any:
  if isinstance(value, float):
    return value if math.isfinite(value) else None
  if isinstance(value, Mapping):
    return {key: _strict(x) for key, x in value.items()}
  if isinstance(value, list | tuple):
    return [_strict(x) for x in value]
  return value


def loads(text: str) -> Any:
  """As `json.loads`; null in the place of a number is NaN again.

  Raises:
    ValueError: it is no JSON.
  """

  def back(pairs):
    return {k: math.nan if x is None else x for k, x in pairs}

  return json.loads(text, object_pairs_hook=back)


def scalars(line: str) -> dict[str, float]:
  """Reads an object of numbers; null is NaN again.

  Raises:
    ValueError: it is anything else, such as half a line.
  """
  row = loads(line)
  if not isinstance(row, dict):
    raise ValueError(f'expected an object, found {line[:40]!r}.')
  wrong = [k for k, x in row.items() if not isinstance(x, int | float)]
  if wrong:
    raise ValueError(f'expected numbers, found {row[wrong[0]]!r}.')
  return row

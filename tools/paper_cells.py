"""What the papers say of a size or an option, beside what it is here.

A table of published.json, or a row of it, may have `here`: column -> where the
row's model has it: 'sizes.inputs.0', a size that was counted (see
`published_models.sizes`), 'config.model.num_latents', an option of the row's
config, or '', nowhere.
"""

from collections.abc import Mapping
from typing import Any

from tools import published_models

Value = int | float | str


def found(
  table: Mapping[str, Any],
  row: Mapping[str, Any],
  counts: Mapping[str, Mapping[str, Any]],
) -> dict[str, Value]:
  """Column -> what it is here, of a row's columns that say where it is.

  Args:
    table, row: of published.json.
    counts: by model, see `paper_tables.count`.

  Raises:
    KeyError: there is no such size or option.
  """
  paths = {**table.get('here', {}), **row.get('here', {})}
  if not paths or not ('model' in row or 'config' in row):
    return {}
  name = row.get('config', row.get('model', ''))
  name = name.removeprefix('configs/').replace('.py', '')
  config = published_models.config(name)
  sizes = counts[row['model']].get('sizes', {}) if 'model' in row else {}
  values = {}
  for column, path in paths.items():
    if not path:
      continue
    value = {'sizes': sizes, 'config': config}
    for key in path.split('.'):
      value = value[int(key) if key.isdigit() else key]
    values[column] = value
  return values


def agree(published: str, here: Value) -> bool:
  """Whether what is here is what is published, or one of several."""
  return any(_value(x) == _value(here) for x in published.split(', '))


def cell(published: str, here: Value | None) -> str:
  """Of a table: what is published, and what is here if that is another."""
  if here is None or (published and agree(published, here)):
    return published
  text = f'{here:,}' if isinstance(here, int) else f'{here}'
  return f'{published} (here {text})'.strip()


def _value(x: Value) -> Value:
  """'2,048' -> 2048.0, '15%' -> 0.15, 'LAMB' -> 'lamb'."""
  if not isinstance(x, str):
    return float(x)
  try:
    if x.endswith('%'):
      return float(x[:-1]) / 100
    return float(x.replace(',', ''))
  except ValueError:
    return x.casefold()

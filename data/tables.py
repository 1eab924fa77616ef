"""Tables of users' own: CSV, TSV and JSON lines."""

import collections
import csv
import io
import json
import math
import os
import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data import folders

csv.field_size_limit(1 << 30)  # Texts may be books.
SUFFIXES = ('.csv', '.tsv', '.jsonl')


def read(
  path: str | os.PathLike, required: Sequence[str]
) -> list[dict[str, str]]:
  """The rows of a table, in order; names of columns in lower case.

  CSV may be separated by commas, semicolons or tabs: what the first line has
  most of. Values are stripped texts; of JSON lines numbers become texts and
  null ''. Every row has `line`, its place in the file, for errors.

  Args:
    path: of a file with one of SUFFIXES.
    required: columns that must be there.

  Raises:
    ValueError: naming the file, the line and what is wrong with it.
  """
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in SUFFIXES:
    raise ValueError(
      f'{path}: expected a table ({", ".join(SUFFIXES)}), found {suffix!r}.'
    )
  text = folders.read_text(path)
  rows = _json_rows(path, text) if suffix == '.jsonl' else _csv_rows(path, text)
  if not rows:
    raise ValueError(f'{path}: expected rows, found none.')
  for row in rows[:1] if suffix != '.jsonl' else rows:
    missing = [name for name in required if name not in row]
    if missing:
      names = [name for name in row if name != 'line']
      raise ValueError(
        f'{path}, line {row["line"]}: expected the columns {list(required)}, '
        f'found {names}.'
      )
  return rows


def label_column(path, row: Mapping[str, str], beside: str) -> str:
  """'label', of classes, or 'number': which of them a table has.

  Raises:
    ValueError: naming the table, which has neither or both.
  """
  found = [name for name in ('label', 'number') if name in row]
  if len(found) != 1:
    raise ValueError(
      f'{path}: expected the columns {beside} and either label or number, '
      f'found {[name for name in row if name != "line"]}.'
    )
  return found[0]


def number(where: str, text: str, name: str = 'number') -> float:
  """A finite number; else a ValueError that says where, in which column."""
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise ValueError(f'{where}: {name}: expected a number, found {text!r}.')
  return value


class Part(NamedTuple):
  """What of a file of sound or video is meant, in seconds; None: to its end."""

  path: pathlib.Path
  start: float = 0.0
  end: float | None = None

  def __str__(self) -> str:
    if not self.start and self.end is None:
      return str(self.path)
    end = 'its end' if self.end is None else f'{self.end:g}'
    return f'{self.path} ({self.start:g} to {end})'


def file(table: str | os.PathLike, row: Mapping[str, str]) -> pathlib.Path:
  """The file that a row names, relative to its table.

  A letter with its accent may be one sign or two: Macs write two.
  """
  name = row['file'].replace('\\', '/')  # as Windows writes it
  path = pathlib.Path(table).parent / pathlib.Path(name).expanduser()
  for form in () if path.exists() else ('NFC', 'NFD'):
    other = pathlib.Path(unicodedata.normalize(form, str(path)))
    if other.exists():
      return other
  return path


def part(table: str | os.PathLike, row: Mapping[str, str]) -> Part:
  """The file of a row, from its `start` to its `end`, if it has them.

  Raises:
    ValueError: naming table and line, whose times are none.
  """
  where = f'{table}, line {row["line"]}'
  start, end = (
    number(where, row[name], name) if row.get(name) else default
    for name, default in (('start', 0.0), ('end', None))
  )
  if start < 0 or (end is not None and end <= start):
    raise ValueError(
      f'{where}: expected 0 <= start < end in seconds, found {start:g} '
      f'and {row.get("end", "")!r}.'
    )
  return Part(file(table, row), start, end)


def derived_of_labels(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """What a config's open options become: whether labels are numbers, and what
  their mean and deviation are.

  Args:
    examples: with `label`, and `classes` if labels are of classes.
  """
  if 'classes' in examples[0]:
    return {'task.kind': 'classes', 'task.y_mean': (), 'task.y_std': ()}
  numbers = [x['label'] for x in examples]
  return {
    'task.kind': 'numbers',
    'task.y_mean': (float(np.mean(numbers)),),
    'task.y_std': (float(np.std(numbers)) or 1.0,),
  }


def _csv_rows(path, text: str) -> list[dict[str, str]]:
  first = text.lstrip().splitlines()[0] if text.strip() else ''
  delimiter = max(',;\t', key=first.count)
  if pathlib.Path(path).suffix.lower() == '.tsv':
    delimiter = '\t'
  told = re.fullmatch('sep=([,;\t])', first.strip(' \r').lower())  # by Excel
  if told:
    delimiter = told[1]
  # Strict: else a quote that is not closed takes all rows after it.
  reader = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, strict=True
  )
  rows, header = [], None
  try:
    for fields in reader:
      if not any(field.strip() for field in fields):
        continue
      if header is None:
        if told:
          told = None
          continue
        header = [name.strip().lower() for name in fields]
        twice = [x for x, n in collections.Counter(header).items() if n > 1]
        if twice:
          raise ValueError(
            f'{path}, line {reader.line_num}: expected columns that differ, '
            f'found {twice[0]!r} twice.'
          )
        continue
      if len(fields) != len(header):
        raise ValueError(
          f'{path}, line {reader.line_num}: expected {len(header)} fields '
          f'{header}, found {len(fields)}.'
        )
      values = (field.strip() for field in fields)
      row = dict(zip(header, values, strict=True))
      rows.append(row | {'line': str(reader.line_num)})
  except csv.Error as e:
    raise ValueError(f'{path}, line {reader.line_num}: {e}.') from e
  return rows


def _json_rows(path, text: str) -> list[dict[str, str]]:
  rows = []
  for number, line in enumerate(folders.lines_of(text), 1):
    if not line.strip():
      continue
    try:
      values = json.loads(line)
    except json.JSONDecodeError as e:
      raise ValueError(f'{path}, line {number}: no JSON ({e}).') from None
    if not isinstance(values, dict):
      raise ValueError(f'{path}, line {number}: expected an object {{...}}.')
    row = {
      name.strip().lower(): _json_text(f'{path}, line {number}: {name}', value)
      for name, value in values.items()
    }
    rows.append(row | {'line': str(number)})
  return rows


def _json_text(where: str, value: Any) -> str:
  """A text, number or null as a text; of several labels a|b."""
  if isinstance(value, list) and all(isinstance(x, str) for x in value):
    value = '|'.join(value)
  if isinstance(value, list | dict):
    raise ValueError(
      f'{where}: expected a text or a number, found {str(value)[:40]}.'
    )
  return '' if value is None else str(value).strip()

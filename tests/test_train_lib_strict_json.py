"""JSON that every reader takes, and that is NaN again when read back."""

import json
import math

import pytest

from train_lib import strict_json


def refuse(name):
  raise AssertionError(f'{name} is no JSON')


def test_numbers_that_are_not_finite_are_null():
  value = {'a': math.nan, 'b': [1.5, -math.inf, ('x', math.inf)], 'c': 2}
  text = strict_json.dumps(value)
  found = json.loads(text, parse_constant=refuse)
  assert found == {'a': None, 'b': [1.5, None, ['x', None]], 'c': 2}


def test_scalars_come_back():
  row = {'step': 3, 'loss': math.nan, 'accuracy': 0.5}
  found = strict_json.scalars(strict_json.dumps(row))
  assert math.isnan(found.pop('loss'))
  assert found == {'step': 3, 'accuracy': 0.5}


@pytest.mark.parametrize(
  'line', ['{"step": 1, "lo', '', '[1]', '3', '{"step": "x"}', '\x00']
)
def test_what_is_no_row_is_an_error(line):
  with pytest.raises(ValueError):
    strict_json.scalars(line)

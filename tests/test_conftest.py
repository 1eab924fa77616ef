"""Rules of a run of the tests."""

import collections
import pathlib
import time
import types

import pytest

from tests import conftest


@pytest.mark.parametrize('seconds, begins', [(-1, False), (100, True)])
def test_no_test_begins_too_late(monkeypatch, seconds, begins):
  monkeypatch.setattr(conftest, 'UNTIL', time.time() + seconds)
  try:
    conftest.pytest_runtest_setup()
  except pytest.skip.Exception as e:
    assert not begins and conftest._TOO_LATE in str(e)
  else:
    assert begins


@pytest.mark.parametrize(
  'until, order',
  [(30, 'aabbcc'), (31, 'bbccaa'), (32, 'ccaabb'), (float('inf'), 'aabbcc')],
)
def test_each_file_is_the_first_at_times(monkeypatch, until, order):
  monkeypatch.setattr(conftest, 'UNTIL', until)
  items = [types.SimpleNamespace(path=pathlib.Path(x)) for x in 'aabbcc']
  numbered = {id(item): i for i, item in enumerate(items)}
  conftest.pytest_collection_modifyitems(items)
  assert ''.join(item.path.name for item in items) == order
  by_file = [numbered[id(item)] % 2 for item in items]
  assert by_file == [0, 1] * 3  # As they stand in a file.


@pytest.mark.parametrize(
  'slowness, exceeded', [(1.0, [('full', 'b.py', 21, 10)]), (1.1, [])]
)
def test_twice_a_budget_is_exceeded(monkeypatch, tmp_path, slowness, exceeded):
  budgets = tmp_path / 'budgets.toml'
  budgets.write_text('default = 10\n[quick]\n"a.py" = 50\n[full]\n')
  monkeypatch.setattr(conftest, 'BUDGETS', budgets)
  monkeypatch.setattr(conftest, '_slowness', lambda: slowness)
  spent = {('quick', 'a.py'): 99, ('full', 'b.py'): 21, ('slow', 'c.py'): 999}
  monkeypatch.setattr(conftest, '_by_file', collections.Counter(spent))
  assert list(conftest._exceeded()) == exceeded

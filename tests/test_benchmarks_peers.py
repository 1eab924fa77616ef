"""The page of speeds says what the kept measurements say."""

import json
import subprocess
import sys

import pytest

from benchmarks.peers import report, rows
from tests.processes import ROOT

ROW = dict(
  row='input_crop',
  sides={
    'ours': dict(
      first=dict(wall=3.0, cpu=2.0),
      wall=[2.0, 2.0, 8.0],
      cpu=[1.0, 0.5, 1.5],
      peak_mib=1234,
    ),
    'theirs': dict(
      first=dict(wall=3.0, cpu=2.0),
      wall=[3.0, 3.0, 3.0],
      cpu=[4.0, 2.5, 2.5],
      peak_mib=99,
    ),
  },
  threads=1,
  load=[0.2, 7.9],
  cores=2,
  machine='a machine',
  date='2026-01-02',
  versions={'jax': '1.2.3'},
)


def test_ratios_are_of_medians_and_above_one_where_ours_is_faster():
  ours, theirs = report.lines(ROW)
  assert '| ours | 1.000 (0.500 to 1.500) | 2.000 |  |  | 1,234 |' in ours
  assert '| theirs | 2.500 (2.500 to 4.000) | 3.000 | 2.50 | 1.50 |' in theirs
  assert ours.endswith('| 2 | 0 to 8 |')


def test_threads_are_named_where_there_are_several():
  assert '2 threads' in next(report.lines(ROW | dict(threads=2)))
  assert 'threads' not in next(report.lines(ROW))


def test_the_page_is_made_of_the_files():
  page = report.PAGE.read_text()
  assert report.with_table(page) == page
  kept = report.read(report.FOLDER)
  assert kept and {x['row'] for x in kept} <= set(rows.ROWS)


def test_what_stands_around_the_table_stays():
  page = report.with_table(f'before\n{report.BEGIN}old{report.END}after\n')
  assert page.startswith(f'before\n{report.BEGIN}### ')
  assert page.endswith(f'{report.END}after\n') and 'old' not in page


def test_a_row_without_a_key_is_named(tmp_path):
  broken = {k: v for k, v in ROW.items() if k != 'load'}
  (tmp_path / 'x.json').write_text(json.dumps([ROW, broken]))
  with pytest.raises(ValueError, match='x.json: found .*expected .*load'):
    report.read(tmp_path)


def test_every_row_begins_with_ours():
  for name, row in rows.ROWS.items():
    assert next(iter(row.sides)) == rows.OURS, name
    assert len(row.sides) > 1, name


@pytest.mark.full
@pytest.mark.parametrize(
  'flag, message',
  [
    ('--only=paca', '--only: found paca; expected some of language_forward_1'),
    ('--sides=nobody', "--sides: input_crop has none of ['nobody']; expected"),
  ],
)
def test_what_there_is_not_is_one_line(flag, message):
  command = [sys.executable, '-m', 'benchmarks.peers', '--only=input_crop']
  assert refusal([*command, flag]).startswith(message)


@pytest.mark.full
def test_missing_peers_are_one_line_before_any_work():
  without = """
import runpy, sys
sys.modules["torch"] = None
sys.argv = ["peers", "--only=language_forward_1"]
runpy.run_module("benchmarks.peers", run_name="__main__")
"""
  found = refusal([sys.executable, '-c', without])
  assert found.startswith('torch: not installed; expected the extra `parity`')


def refusal(command):
  """The only line of a program that ends with 1."""
  done = subprocess.run(
    command, cwd=ROOT, capture_output=True, text=True, check=False
  )
  assert done.returncode == 1
  assert not done.stdout
  (line,) = done.stderr.splitlines()
  return line

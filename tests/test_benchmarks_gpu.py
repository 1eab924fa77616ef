"""The GPU's measurements, rehearsed at tiny sizes where there is none."""

import re
import subprocess

import pytest

from tests.processes import ROOT, environment

pytestmark = pytest.mark.full

ROWS = ('lm', 'paca_tiny', 'imagenet', 'flow')


def test_each_row_is_measured():
  done = subprocess.run(
    ['bash', 'benchmarks/gpu.sh', *ROWS],
    cwd=ROOT,
    env=environment(TINY='1', PEERS='0', LIMIT='2000', ROW_LIMIT='900'),
    capture_output=True,
    text=True,
  )
  # | name | batch | examples/s | ms | and what only a GPU tells
  found = re.findall(
    r'^\| (\w+) \| 2 \| ([\d.,]+) \| ([\d.,]+) \|', done.stdout, re.MULTILINE
  )
  assert [name for name, *_ in found] == list(ROWS), done.stdout
  for _, rate, milliseconds in found:
    rate, milliseconds = (
      float(x.replace(',', '')) for x in (rate, milliseconds)
    )
    assert rate > 0 and milliseconds > 0
  assert 'failed' not in done.stdout

"""A part of the campaign, as it is started, and mistakes as a user makes them.

The whole of it is `python -m tests.campaign`, docs/reliability.md.
"""

import random
import re
import resource
import subprocess
import sys

import pytest

from tests.campaign import typed
from tests.processes import ROOT, environment

pytestmark = pytest.mark.full


def start(*arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=ROOT,
    env=environment(),
    capture_output=True,
    text=True,
    timeout=600,
  )


def outcomes(output, part):
  (row,) = [x for x in output.splitlines() if x.startswith(f'| {part} |')]
  _, _, attacks, counts, *_ = row.split('|')
  pairs = (
    pair.partition(' ') for pair in re.split(r', (?=\d)', counts.strip())
  )
  return int(attacks), {kind: int(number) for number, _, kind in pairs}


def test_at_least_95_of_100_mistakes_are_one_line():
  done = start('-m', 'tests.campaign', '--seed=0', '--only=mistakes')
  attacks, found = outcomes(done.stdout, 'mistakes')
  assert attacks >= 100
  assert found['one line'] >= 0.95 * attacks, done.stderr


def test_corruption_is_never_silent():
  done = start(
    '-m', 'tests.campaign', '--seed=0', '--only=corruption', '--share=0.1'
  )
  attacks, found = outcomes(done.stdout, 'corruption')
  good = 'refused, in one line', 'the one before, and said'
  assert attacks == sum(found.get(x, 0) for x in good) == 20, done.stderr


def test_a_few_mistakes_as_processes(tmp_path):
  for arguments, name in typed.sampled(str(tmp_path / 'x'), 4, random.Random()):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = start('train.py', *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 1, arguments
    assert done.stderr.count('\n') == 1, done.stderr
    assert name.split('.')[-1] in done.stderr or name[:5] in done.stderr
    # Twice what is allowed: a machine that is busy takes more.
    assert after.ru_utime - before.ru_utime < 10

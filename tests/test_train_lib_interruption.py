"""What ends a run that is stuck."""

import subprocess
import sys

import pytest

from train_lib import interruption

PROGRAM = """
import time
from train_lib import interruption
watchdog = interruption.Watchdog(2)
for step in range(1, 8):
  watchdog.reached(step)
{then}
"""


def run(then):
  return subprocess.run(
    [sys.executable, '-c', PROGRAM.format(then=then)],
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.full
def test_a_run_that_is_stuck_ends_with_the_reason():
  done = run('time.sleep(60)')
  assert done.returncode == 1
  assert 'nothing has happened for' in done.stderr
  assert 'since step 7' in done.stderr
  assert 'File "<string>"' in done.stderr  # where it waits


@pytest.mark.full
def test_a_run_that_goes_on_is_left_alone():
  done = run('watchdog.close(); time.sleep(3); print("done")')
  assert done.returncode == 0 and done.stdout == 'done\n'


def test_all_are_closed_and_the_first_error_counts():
  closed = []

  class Resource:
    def __init__(self, name, error=None):
      self.name, self.error = name, error

    def close(self):
      closed.append(self.name)
      if self.error:
        raise self.error

  resources = [Resource('a', OSError('a')), Resource('b', OSError('b'))]
  with pytest.raises(OSError, match='b'):
    with interruption.closing(*resources):
      pass
  with pytest.raises(ValueError, match='body'):
    with interruption.closing(*resources):
      raise ValueError('body')
  assert closed == ['b', 'a', 'b', 'a']

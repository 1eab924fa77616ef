"""Which processes there are, and what ends a run that is stuck."""

import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from train_lib import runtime  # noqa: F401 (its flags)

PROGRAM = """
import time
from train_lib import runtime
watchdog = runtime.Watchdog(2)
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


ADDRESS = {'coordinator_address': 'localhost:1234'}


@pytest.mark.parametrize(
  'values, message',
  [
    ({'num_processes': 2}, '--coordinator_address and --process_id missing'),
    (ADDRESS | {'num_processes': 2}, '--process_id missing'),
    (ADDRESS | {'num_processes': 2, 'process_id': 2}, 'expected 0 to 1'),
    (
      {'coordinator_address': 'localhost', 'num_processes': 2, 'process_id': 0},
      'expected host:port',
    ),
  ],
)
def test_processes_told_of_by_halves_are_an_error(values, message):
  with pytest.raises(flags.IllegalFlagValueError, match=message):
    with flagsaver.flagsaver(**values):
      pass


def test_a_launcher_tells_what_flags_do_not(monkeypatch):
  monkeypatch.setenv('SLURM_NTASKS', '2')
  with flagsaver.flagsaver(**ADDRESS):
    pass

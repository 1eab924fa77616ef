"""A disk that is really full: a small file system in memory, as root alone."""

import subprocess
import sys

import pytest

from tests.processes import ROOT, environment
from train_lib import stored

pytestmark = pytest.mark.full


@pytest.fixture(params=['60k', '200k', '400k'])
def small_disk(request, tmp_path):
  options = ['-o', f'size={request.param}', 'tmpfs', str(tmp_path)]
  mounted = subprocess.run(['mount', '-t', 'tmpfs', *options])
  if mounted.returncode:
    pytest.skip('mounting needs root')
  yield tmp_path
  subprocess.run(['umount', str(tmp_path)], check=True)


def test_is_one_line_and_what_was_saved_stays(small_disk):
  run = subprocess.run(
    [
      sys.executable,
      'train.py',
      '--config=tests/linear_task.py',
      '--config.num_steps=400',
      '--config.checkpoint.every_steps=1',
      '--config.log_every_steps=1',
      f'--workdir={small_disk / "run"}',
    ],
    cwd=ROOT,
    env=environment(),
    capture_output=True,
    text=True,
  )
  assert run.returncode == 1
  (line,) = run.stderr.splitlines()
  assert line.startswith(f'train.py: --workdir: {small_disk / "run"}')
  assert 'No space left on device' in line
  said = [x for x in run.stdout.splitlines() if x.startswith('Saved checkp')]
  steps = stored.steps(small_disk / 'run' / 'checkpoints')
  assert [f'Saved checkpoints/{step}' in ' '.join(said) for step in steps] == (
    [True] * len(steps)
  )
  assert bool(steps) == bool(said)

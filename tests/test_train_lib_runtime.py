"""Which processes there are, and what was compiled before."""

import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from tests.processes import ROOT, environment
from train_lib import runtime  # noqa: F401 (its flags)

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


_PROGRAM = """
import jax
from absl import flags
from train_lib import runtime  # noqa: F401 (its flags)

runtime._WORTH_SAYING = -1e9
flags.FLAGS(['program'])
runtime.initialize()
print(jax.jit(lambda x: x + 1)(1.0))
"""


@pytest.mark.full
def test_what_was_compiled_before_is_said(tmp_path):
  said = []
  for _ in range(2):
    done = subprocess.run(
      [sys.executable, '-c', _PROGRAM],
      cwd=ROOT,
      env=environment(
        JAX_COMPILATION_CACHE_DIR=str(tmp_path),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
        JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1',
      ),
      capture_output=True,
      text=True,
      check=True,
    )
    said.append(f'Compiled before ({tmp_path}): ' in done.stdout)
  assert said == [False, True]

"""Which processes there are."""

import pytest
from absl import flags
from absl.testing import flagsaver

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

"""What the launchers do not take is named, before anything is called."""

import pytest

from tests.test_launch import GKE, HOSTILE, SLURM, TPU, TRAIN, Launcher


@pytest.fixture
def launch(tmp_path):
  return Launcher(tmp_path)


OPTIONS = {
  'tpu_vm.sh': 'project zone name bucket type runtime spot mounted',
  'gke.sh': 'project cluster location name bucket image accelerator topology '
  'chips-per-host slices mounted',
  'slurm.sh': 'project name nodes gpus-per-node time partition',
}


@pytest.mark.parametrize(
  'script, option',
  [(s, option) for s, options in OPTIONS.items() for option in options.split()],
)
def test_other_values_are_refused_by_name(launch, script, option):
  commands = {
    'tpu_vm.sh': ['create', *TPU],
    'gke.sh': ['print', *GKE],
    'slurm.sh': SLURM,
  }
  for value in HOSTILE:
    if value in ('', 'yes', 'null', '1e3', '0x10'):
      continue  # Names, some of them; tested below.
    flags = [*commands[script], f'--{option}={value}']
    if script == 'slurm.sh':
      flags += TRAIN
    status, output, calls = launch(script, *flags)
    assert (status, calls) == (2, []), value
    assert output.startswith(f'{script}: --{option}: found '), output
    assert output.count('\n') == 1, output


@pytest.mark.parametrize(
  'script, flags, message',
  [
    ('tpu_vm.sh', ['create', *TPU[1:]], '--project is missing'),
    ('tpu_vm.sh', ['run', *TPU], 'expected -- --config'),
    ('tpu_vm.sh', ['destroy', *TPU], "found 'destroy', expected create"),
    ('gke.sh', ['apply', *GKE, '--topo=4x4', *TRAIN], 'no option --topo'),
    ('gke.sh', ['apply', *GKE, '--topology=3x3', *TRAIN], '9 chips are not'),
    ('gke.sh', ['print', *GKE, '--a b=c'], 'no option --a b'),
    ('gke.sh', ['print', *GKE, '--project cluster=c'], 'no option --project'),
    ('tpu_vm.sh', ['create', *TPU, '--spot=true'], 'expected yes or no'),
    ('slurm.sh', [*SLURM, '--config=x'], 'no option --config'),
  ],
)
def test_wrong_options_are_named(launch, script, flags, message):
  status, output, calls = launch(script, *flags)
  assert status == 2 and not calls
  assert message in output

"""The launchers, with programs in place of gcloud, kubectl and sbatch.

Each writes down what it was called with; gcloud tells the states of the
machines that a test invents.
"""

import os
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).parent.parent
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$(printf '%q ' "${0##*/}" "$@")" >> "$RECORD"
case "$*" in
  *queued-resources\\ describe*) head -n 1 "$STATES"; sed -i 1d "$STATES" ;;
  *pgrep*) [[ ! -s $STATES ]] ;;
  apply*) cat > "$MANIFEST" ;;
esac
"""
TPU = '--project=p --zone=z --name=n --bucket=gs://b'.split()
GKE = (
  '--project=p --cluster=c --location=l --name=n --bucket=b --image=i'.split()
)
SLURM = '--project=account --bucket=/shared --name=n'.split()
TRAIN = [
  '--',
  '--config=configs/perceiver_io/imagenet.py:fourier',
]


class Launcher:
  def __init__(self, folder):
    self._folder = folder
    for name in ('gcloud', 'kubectl', 'sbatch'):
      (folder / name).write_text(STUB)
      (folder / name).chmod(0o755)
    self._files = {
      name: folder / name for name in ('RECORD', 'STATES', 'MANIFEST')
    }
    self.states()

  def states(self, *states):
    self._files['STATES'].write_text(''.join(f'{s}\n' for s in states))

  def __call__(self, script, *flags):
    """The exit status, what was printed and what was called."""
    self._files['RECORD'].write_text('')
    env = os.environ | {k: str(v) for k, v in self._files.items()}
    env |= {'PATH': f'{self._folder}:{env["PATH"]}', 'POLL_SECONDS': '0'}
    done = subprocess.run(
      [ROOT / 'launch' / script, *flags],
      env=env,
      capture_output=True,
      text=True,
      timeout=60,
    )
    calls = self._files['RECORD'].read_text().splitlines()
    return done.returncode, done.stdout + done.stderr, calls

  def manifest(self):
    return yaml.safe_load(self._files['MANIFEST'].read_text())


@pytest.fixture
def launch(tmp_path):
  return Launcher(tmp_path)


@pytest.mark.parametrize(
  'script, flags',
  [
    ('tpu_vm.sh', ['create', *TPU, '--spot=yes']),
    ('tpu_vm.sh', ['copy', *TPU]),
    ('tpu_vm.sh', ['run', *TPU, *TRAIN]),
    ('tpu_vm.sh', ['delete', *TPU]),
    ('gke.sh', ['apply', *GKE, *TRAIN]),
    ('gke.sh', ['delete', *GKE]),
    ('slurm.sh', [*SLURM, *TRAIN]),
  ],
)
def test_dry_run_prints_what_would_be_called(launch, script, flags):
  at = flags.index('--') if '--' in flags else len(flags)
  dry = [*flags[:at], '--dry-run', *flags[at:]]
  status, output, calls = launch(script, *dry)
  assert status == 0 and not calls
  _, _, calls = launch(script, *flags)
  assert calls

  def words(lines):  # but for the temporary archive's name
    programs = ('gcloud', 'kubectl', 'sbatch')
    lines = [line for line in lines if line.startswith(programs)]
    return [re.sub(r'/tmp/\S+', '', ' '.join(shlex.split(x))) for x in lines]

  assert words(output.splitlines()) == words(calls)


def test_tpu_machines_are_queued_for(launch):
  _, _, (call,) = launch(
    'tpu_vm.sh', 'create', *TPU, '--type=v4-32', '--spot=yes'
  )
  assert (
    shlex.split(call)
    == (
      'gcloud compute tpus queued-resources create n --project=p --zone=z '
      '--node-id=n --accelerator-type=v4-32 --runtime-version='
      'v2-alpha-tpuv5-lite --spot'
    ).split()
  )


def test_flags_arrive_as_they_were_given(launch):
  """Through two shells: this one and the workers'."""
  text = "--config.data.data_dir=it's here"
  _, _, (call,) = launch('tpu_vm.sh', 'run', *TPU, *TRAIN, text)
  words = shlex.split(call)
  assert '--worker=all' in words
  command = shlex.split(words[-1].removeprefix('--command='))
  start = command.index('train.py')
  assert command[start : start + 4] == [
    'train.py',
    TRAIN[1],
    text,
    '--workdir=../bucket/runs/n',
  ]
  launch('gke.sh', 'apply', *GKE, *TRAIN, text)
  job = launch.manifest()['spec']['replicatedJobs'][0]['template']['spec']
  (container,) = job['template']['spec']['containers']
  assert container['args'] == [
    'train.py',
    TRAIN[1],
    text,
    '--workdir=/bucket/runs/n',
  ]
  _, _, (call,) = launch('slurm.sh', *SLURM, *TRAIN, text)
  assert shlex.split(call)[-3:] == [
    TRAIN[1],
    text,
    '--workdir=/shared/runs/n',
  ]


def test_keep_begins_again_where_machines_are_taken_away(launch):
  launch.states(
    *('ABSENT', 'WAITING_FOR_RESOURCES', 'ACTIVE', 'ACTIVE'),
    *('SUSPENDED', 'SUSPENDED', 'ACTIVE', 'ACTIVE'),
  )
  status, output, calls = launch('tpu_vm.sh', 'keep', *TPU, *TRAIN)
  assert status == 0, output
  kinds = [
    kind
    for call in calls
    for kind in ('create', 'delete', ' scp ', 'nohup')
    if kind in call
  ]
  begins = ['create', ' scp ', 'nohup']
  assert kinds == [*begins, 'delete', *begins]


def test_jobset_has_a_process_for_every_host(launch):
  launch('gke.sh', 'apply', *GKE, '--topology=4x8', '--slices=2', *TRAIN)
  manifest = launch.manifest()
  assert manifest['kind'] == 'JobSet'
  (jobs,) = manifest['spec']['replicatedJobs']
  job = jobs['template']['spec']
  assert jobs['replicas'] == 2
  assert job['parallelism'] == job['completions'] == 8
  pod = job['template']['spec']
  (container,) = pod['containers']
  assert container['resources']['limits'] == {'google.com/tpu': 4}
  assert container['image'] == 'i'
  assert pod['volumes'][0]['csi']['volumeAttributes']['bucketName'] == 'b'
  assert pod['nodeSelector']['cloud.google.com/gke-tpu-topology'] == '4x8'


def test_slurm_has_a_process_for_every_gpu(launch):
  _, _, (call,) = launch(
    'slurm.sh', *SLURM, '--nodes=3', '--gpus-per-node=4', *TRAIN
  )
  for flag in ('--nodes=3', '--ntasks-per-node=4', '--account=account'):
    assert flag in shlex.split(call)


@pytest.mark.parametrize(
  'script, flags, message',
  [
    ('tpu_vm.sh', ['create', *TPU[1:]], '--project is missing'),
    ('tpu_vm.sh', ['run', *TPU], 'expected -- --config'),
    ('tpu_vm.sh', ['destroy', *TPU], "found 'destroy', expected create"),
    ('gke.sh', ['apply', *GKE, '--topo=4x4', *TRAIN], 'no option --topo'),
    ('gke.sh', ['apply', *GKE, '--topology=3x3', *TRAIN], '9 chips are not'),
    ('slurm.sh', [*SLURM, '--config=x'], 'no option --config'),
  ],
)
def test_wrong_options_are_named(launch, script, flags, message):
  status, output, calls = launch(script, *flags)
  assert status == 2 and not calls
  assert message in output


def test_image_is_made_by_the_commands_of_the_readme():
  install = 'pip install -c constraints.txt -e'
  assert install in (ROOT / 'README.md').read_text()
  assert install in (ROOT / 'launch/Dockerfile').read_text()

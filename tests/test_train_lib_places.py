"""Where runs' files are: what a path may be, and buckets like folders."""

import ml_collections
import pytest
from etils import epath

from tests import fake_bucket
from train_lib import digests, places, results, run_files, stored

RUN = 'gs://bucket/runs/a'


@pytest.fixture
def bucket(monkeypatch):
  yield from fake_bucket.installed(monkeypatch)


@pytest.fixture(params=['disk', 'bucket'])
def folder(request, tmp_path, monkeypatch):
  """A place for a run, of either kind."""
  if request.param == 'disk':
    yield tmp_path / 'run'
  else:
    for _ in fake_bucket.installed(monkeypatch):
      yield RUN


@pytest.mark.parametrize(
  'path, expected',
  [
    ('s3://bucket/run', '^--workdir: found s3://bucket/run; .* Mount'),
    ('file:///run', '^--workdir: .* Mount'),
    ('gs://bucket', '^--workdir: .*gs://BUCKET/NAME'),
    ('gs://bucket/', '^--workdir: .*gs://BUCKET/NAME'),
    ('gs:///run', '^--workdir: .*gs://BUCKET/NAME'),
    ('gs://Bucket/run', '^--workdir: .*gs://BUCKET/NAME'),
    ('~/run', '^--workdir: .* such as /'),
    ('runs/[1]', '^--workdir: .*without'),
    ('gs://bucket/run*', '^--workdir: .*without'),
  ],
)
def test_what_is_no_place_is_refused(bucket, path, expected):
  with pytest.raises(ValueError, match=expected):
    places.make(path)


def test_a_missing_client_is_named_with_what_to_do(monkeypatch):
  monkeypatch.setattr(places, '_has_client', lambda: False)
  with pytest.raises(
    ValueError, match=r"^config\.x: gs://b1/run needs gcsfs.*'\.\[gcs\]'.*mount"
  ):
    places.of('gs://b1/run', 'config.x')


def test_a_place_is_made_and_left_empty(folder):
  path = places.make(str(folder))
  assert places.names(path) == []
  assert places.of(str(folder)) == path


def test_a_bucket_that_does_not_answer_is_named(bucket):
  type(bucket).broken = True
  with pytest.raises(ValueError, match=f'^--workdir: {RUN} cannot be .*503'):
    places.make(RUN)


def test_names_are_those_of_all_files(folder):
  path = places.make(str(folder))
  for name in 'b', 'a/x', 'a/c/y':
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b'')
  assert places.names(path) == ['a/c/y', 'a/x', 'b']
  assert places.names(path / 'a') == ['c/y', 'x']
  assert places.names(path / 'nothing') == []


def test_texts_replace_each_other_and_nothing_else_is_left(folder):
  path = places.make(str(folder))
  places.write_text(path / 'a', 'first')
  places.write_text(path / 'a', 'zwölf')
  assert (path / 'a').read_bytes().decode() == 'zwölf'
  assert places.names(path) == ['a']


def test_folders_move_over_others(folder):
  path = places.make(str(folder))
  for name in 'checkpoints/2/a', 'checkpoints/2/b/c', 'corrupt/2/old':
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(name.encode())
  places.move(path / 'checkpoints/2', path / 'corrupt/2')
  assert places.names(path) == ['corrupt/2/a', 'corrupt/2/b/c']
  assert (path / 'corrupt/2/b/c').read_bytes() == b'checkpoints/2/b/c'


def test_damage_is_found(folder):
  path = places.make(str(folder)) / '3'
  (path / 'd').mkdir(parents=True)
  (path / 'd/a').write_bytes(b'abc')
  (path / 'b').write_bytes(b'')
  digests.write(path)
  digests.verify(path)
  (path / 'd/a').write_bytes(b'abb')
  with pytest.raises(digests.DamagedError, match=f'{path}/d/a is damaged'):
    digests.verify(path)
  (path / 'd/a').unlink()
  with pytest.raises(digests.DamagedError, match=f'{path}/d/a is missing'):
    digests.verify(path)


def test_in_a_bucket_a_step_counts_with_its_mark(bucket):
  path = places.make(RUN) / 'checkpoints'
  for name in (
    '1/commit_success.txt',
    '2/commit_success.txt',
    '3/variables/commit_success.txt',  # of a part alone
    '4/variables/a',
    '5/digests.json',
    'other/commit_success.txt',
  ):
    (path / name).write_bytes(b'')
  assert stored.steps(path) == [2, 1]
  assert stored.steps(path / 'none') == []


def test_what_the_network_hinders_is_not_taken_for_damage(bucket, capsys):
  """It would be moved aside, and the run go on from the one before."""
  path = places.make(RUN) / 'checkpoints'
  for step in '1', '2':
    (path / step / 'a').write_bytes(b'abc')
    (path / step / 'commit_success.txt').write_bytes(b'')
    digests.write(path / step)
  type(bucket).broken = True
  with pytest.raises(OSError, match=f'^--workdir: {path}/2 cannot be .*503'):
    stored.load_newest(path, {})
  assert not capsys.readouterr().out


def test_config_classes_and_results_are_kept(folder):
  config = ml_collections.ConfigDict({'a': {'b': 1}, 'c': (1, 2)})
  names = 'one', 'zwölf two'
  run_files.write(str(folder), config, names, 'configs/x.py')
  assert run_files.read_config(str(folder)).to_dict() == config.to_dict()
  assert run_files.read_classes(str(folder)) == names
  assert run_files.read_file_name(str(folder)) == 'configs/x.py'
  results.write_results(
    str(folder),
    config='x',
    weights='y',
    imported=False,
    command='z',
    metrics={'a/b': float('nan')},
    about={},
  )
  found = places.names(places.of(str(folder)))
  assert found == ['classes.txt', 'config.json', 'results.json']


def test_a_bucket_without_a_run_is_named(bucket):
  with pytest.raises(FileNotFoundError, match=f'^--workdir: .*{RUN}'):
    run_files.read_config(RUN)


def test_files_in_a_stand_in_have_the_names_that_users_know(
  monkeypatch, tmp_path
):
  monkeypatch.setattr(places, 'STAND_INS', {str(tmp_path): epath.Path(RUN)})
  assert places.shown(tmp_path / 'a/b.png') == f'{RUN}/a/b.png'
  assert places.shown(tmp_path) == RUN
  assert places.shown('/elsewhere/a') == '/elsewhere/a'

"""Every builder of this repository, prepared as users prepare it."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from data import prepare
from data.arrays import modelnet40
from data.entities import chess_openings, entities
from data.flow import flow_archives, flow_io
from data.sound import audioset
from data.video import kinetics
from tests import test_data_arrays_modelnet40 as meshes
from tests import test_data_entities_chess_openings as games
from tests import test_data_entities_entities as dumps
from tests import test_data_flow_flow_archives as archives
from tests import test_data_sound_audioset as sounds
from tests import test_data_video_kinetics as videos

ROOT = pathlib.Path(__file__).parent.parent
PREPARED_BY_HAND = [
  f'{path.parent.name}.{path.stem}'
  for path in sorted((ROOT / 'data').glob('*/*.py'))
  if '\ndef main(' in path.read_text()
]


def two_steps(folder):
  dumps.dump(folder / 'train')
  dumps.dump(folder / 'test')
  return [f'--manual_dir={folder}']


def nine_moves(folder):
  (folder / 'games.pgn').write_text(f'{games.LINE} *\n')
  return [f'--manual_dir={folder}']


def a_pair_of_frames(folder):
  flow = flow_io.encode_flo(archives.motion(0))
  members = {'training/flow/a/frame_0001.flo': flow}
  for i in (1, 2):
    for render in ('clean', 'final'):
      key = f'training/{render}/a/frame_{i:04d}.png'
      members[key] = archives.image(i)[1]
  archives.write(folder / 'MPI-Sintel-complete.zip', members)
  return ['sintel', f'--manual_dir={folder}']


def a_clip_of_sound(folder):
  (folder / 'class_labels_indices.csv').write_text(sounds.CLASSES)
  (folder / 'eval_segments.csv').write_text(sounds.SEGMENTS)
  (folder / 'clips').mkdir()
  sounds.write_wave(folder / 'clips' / '--aaaaaaaaa_30.wav', [7] * 1000)
  return [f'--manual_dir={folder}', '--config=audio']


def a_clip_of_film(folder):
  videos.write_clip(folder / 'a_000001_000011.mp4', 40)
  row = ('yoga', 'a', 1, 11, 'train')
  labels = videos.write_labels(folder / 'train.csv', [row])
  return [f'--videos={folder}', '--labels', labels]


def eighty_meshes(folder):
  meshes.write(folder, meshes.boxes(), as_archive=True)
  return [f'--manual_dir={folder}']


@pytest.mark.full
@pytest.mark.parametrize(
  'module, split, make_files, num_examples',
  [
    (entities, 'train', two_steps, 2),
    (chess_openings, 'pgn/train', nine_moves, 8),
    (flow_archives, 'sintel_final/train', a_pair_of_frames, 1),
    (audioset, 'audio/eval_segments', a_clip_of_sound, 1),
    (kinetics, 'train', a_clip_of_film, 1),
    (modelnet40, 'test', eighty_meshes, 40),
  ],
  ids=lambda x: getattr(x, '__name__', None),
)
def test_one_command_prepares(
  module, split, make_files, num_examples, tmp_path
):
  folder, data_dir = tmp_path / 'files', str(tmp_path / 'prepared')
  folder.mkdir()
  name = module.__name__.removeprefix('data.')
  command = (sys.executable, '-m', 'data.prepare', name)
  subprocess.run(
    [*command, f'--data_dir={data_dir}', *make_files(folder)],
    cwd=ROOT,
    check=True,
  )
  assert len(module.source(split, data_dir)) == num_examples


def test_files_that_changed_are_prepared_again(tmp_path, capsys):
  folder, data_dir = tmp_path / 'files', str(tmp_path / 'prepared')
  (folder / 'train').mkdir(parents=True)
  dumps.dump(folder / 'train')
  flags = [f'--data_dir={data_dir}', f'--manual_dir={folder}']

  def prepared():
    entities.main(flags)
    return len(entities.source('train', data_dir)), capsys.readouterr().out

  assert prepared()[0] == 2
  number, said = prepared()
  assert number == 2 and 'prepared already of these files' in said
  (path,) = (folder / 'train').iterdir()
  shutil.copy(path, folder / 'train/more.npz')
  number, said = prepared()
  assert number == 4 and 'the files changed (there were 1, there are 2)' in said
  # The same names and sizes at another time are other files.
  os.utime(path, (1, 1))
  assert 'the files changed' in prepared()[1]
  (note,) = pathlib.Path(data_dir).rglob('prepared_from.json')
  note.unlink()
  number, said = prepared()
  assert number == 4 and 'of which files is not known' in said


@pytest.mark.parametrize('name', PREPARED_BY_HAND)
def test_each_says_how_it_is_called(name, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['prepare', name, '--help'])
  with pytest.raises(SystemExit) as e:
    prepare.main()
  assert e.value.code == 0
  usage = capsys.readouterr().out
  assert usage.startswith(f'usage: python -m data.prepare {name} [-h] --data')


@pytest.mark.parametrize(
  'name, message',
  [
    ('imagenet', "module: found 'imagenet', expected one of data/, such as"),
    ('pictures.leaves', "module: found 'pictures.leaves', expected"),
    ('images.digits', 'module: images.digits needs no preparation by hand'),
  ],
)
def test_other_names_are_refused(name, message, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['prepare', name])
  with pytest.raises(SystemExit):
    prepare.main()
  assert message in capsys.readouterr().err


def test_what_is_not_there_is_one_line(monkeypatch, capsys, tmp_path):
  flags = [f'--data_dir={tmp_path}', f'--imagenet_dir={tmp_path}/none']
  words = ['prepare', 'images.imagenet_shrunk', *flags]
  monkeypatch.setattr(sys, 'argv', words)
  with pytest.raises(SystemExit) as e:
    prepare.main()
  assert e.value.code == 1
  said = capsys.readouterr().err.splitlines()[-1]
  assert 'images.imagenet_shrunk: data_dir: found no prepared data set' in said


@pytest.mark.parametrize(
  'name',
  [
    *('video.five_films', 'flow.stereo_aloe', 'language.manuals'),
    *('entities.chess_openings', 'arrays.modelnet40'),
  ],
)
def test_a_folder_without_the_files_is_one_line(
  name, monkeypatch, capsys, tmp_path
):
  def said(folder):
    flags = [f'--data_dir={tmp_path}/data', f'--manual_dir={folder}']
    monkeypatch.setattr(sys, 'argv', ['prepare', name, *flags])
    with pytest.raises(SystemExit) as e:
      prepare.main()
    assert e.value.code == 1
    return capsys.readouterr().err.splitlines()[-1]

  (tmp_path / 'empty').mkdir()
  for folder in ('none', 'empty'):
    line = said(tmp_path / folder)
    assert f'{name}: --manual_dir: found no folder' in line
  (tmp_path / 'other').mkdir()
  (tmp_path / 'other' / 'vtest.avi').write_text('no film')
  (tmp_path / 'other' / 'games.pgn').write_text('no game')
  line = said(tmp_path / 'other')
  assert f'{name}: ' in line
  assert 'other' in line and ('expected' in line or 'found no' in line)

"""The published sets from archives that look like the published ones."""

import io
import zipfile

import numpy as np
import PIL.Image
import pytest

from data.flow import flow_archives, flow_io

SIZE = (6, 9)


def image(seed, suffix='PNG', size=SIZE):
  pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
  file = io.BytesIO()
  PIL.Image.fromarray(pixels).save(file, suffix)
  return pixels, file.getvalue()


def motion(seed):
  return np.random.default_rng(seed).normal(0, 9, (*SIZE, 2)).astype('f4')


def write(path, members):
  with zipfile.ZipFile(path, 'w') as archive:
    for name, data in members.items():
      archive.writestr(name, data)


def prepare(tmp_path, *sets):
  data_dir = f'--data_dir={tmp_path / "data"}'
  flow_archives.main([*sets, data_dir, f'--manual_dir={tmp_path}'])
  return str(tmp_path / 'data')


def check(source, expected):
  """Examples are (frame seeds, flow seed) by name, in any order."""
  found = {x['name'].decode(): x for x in source}
  assert sorted(found) == sorted(expected)
  for name, (first, second, seed) in expected.items():
    np.testing.assert_array_equal(found[name]['frame1'], image(first)[0])
    np.testing.assert_array_equal(found[name]['frame2'], image(second)[0])
    np.testing.assert_array_equal(found[name]['flow'], motion(seed))
    assert found[name]['valid'].all()


def test_sintel_pairs_neighbours_of_each_film(tmp_path):
  members = {}
  for film, count in (('alley_1', 3), ('bamboo_2', 2)):
    for i in range(1, count + 1):
      for j, render in enumerate(('clean', 'final')):
        key = f'training/{render}/{film}/frame_{i:04d}.png'
        members[key] = image(100 * j + 10 * count + i)[1]
      if i < count:
        key = f'training/flow/{film}/frame_{i:04d}.flo'
        members[key] = flow_io.encode_flo(motion(10 * count + i))
  members['__MACOSX/training/flow/alley_1/._frame_0001.flo'] = b''
  write(tmp_path / 'MPI-Sintel-complete.zip', members)
  data_dir = prepare(tmp_path, 'sintel')
  for j, render in enumerate(('clean', 'final')):
    check(
      flow_archives.source(f'sintel_{render}/train', data_dir),
      {
        f'training/flow/{film}/frame_{i:04d}.flo': (
          100 * j + 10 * count + i,
          100 * j + 10 * count + i + 1,
          10 * count + i,
        )
        for film, count, i in (
          ('alley_1', 3, 1),
          ('alley_1', 3, 2),
          ('bamboo_2', 2, 1),
        )
      },
    )


def test_chairs_follow_the_authors_division(tmp_path):
  folder, members = 'FlyingChairs_release/data', {}
  for i in range(1, 5):
    for j in (1, 2):
      members[f'{folder}/{i:05d}_img{j}.ppm'] = image(10 * i + j, 'PPM')[1]
    members[f'{folder}/{i:05d}_flow.flo'] = flow_io.encode_flo(motion(i))
  write(tmp_path / 'FlyingChairs.zip', members)
  division = tmp_path / 'FlyingChairs_train_val.txt'
  division.write_text('1\n2\n1\n')
  with pytest.raises(ValueError, match='found 3 numbers, .* of the 4 pairs'):
    prepare(tmp_path, 'flying_chairs')
  division.write_text('1\n2\n1\n1\n')
  data_dir = prepare(tmp_path, 'flying_chairs')
  for split, numbers in (('train', (1, 3, 4)), ('validation', (2,))):
    check(
      flow_archives.source(f'flying_chairs/{split}', data_dir),
      {
        f'{folder}/{i:05d}_flow.flo': (10 * i + 1, 10 * i + 2, i)
        for i in numbers
      },
    )


def test_kitti_takes_the_flow_with_occlusions(tmp_path):
  valid = np.ones(SIZE, np.uint8)
  valid[2] = 0
  members = {'training/flow_noc/000000_10.png': b'not read'}
  for name, seed in (('10', 1), ('11', 2)):
    members[f'training/image_2/000000_{name}.png'] = image(seed)[1]
    members[f'training/image_3/000000_{name}.png'] = b'not read'
  members['training/flow_occ/000000_10.png'] = flow_io.encode_kitti(
    motion(3), valid
  )
  write(tmp_path / 'data_scene_flow.zip', members)
  data_dir = prepare(tmp_path, 'kitti2015')
  (found,) = flow_archives.source('kitti2015/train', data_dir)
  np.testing.assert_array_equal(found['frame2'], image(2)[0])
  np.testing.assert_array_equal(found['valid'], valid)
  known = valid > 0
  np.testing.assert_allclose(
    found['flow'][known], motion(3)[known], atol=1 / 128
  )


def test_broken_pairs_are_named_left_out_and_counted(tmp_path, capsys):
  """One good pair in the first archive; a broken file in every other one."""
  good = {
    'im0.png': image(1)[1],
    'im1.png': image(2)[1],
    'forward.flo': flow_io.encode_flo(motion(3)),
  }
  broken = {
    'magic': {'forward.flo': b'PNG?' + good['forward.flo'][4:]},
    'short': {'forward.flo': good['forward.flo'][:-9]},
    'torn': {'im1.png': good['im1.png'][:60]},
    'size': {'im0.png': image(1, size=(5, 9))[1]},
    'gone': {'im0.png': None},
  }
  for i in range(1, 5):
    members = {}
    tables = {f'good_{i}': {}} | (broken if i == 2 else {})
    for table, changes in tables.items():
      for name, data in (good | changes).items():
        if data is not None:
          members[f'static_40k_png_{i}_of_4/{table}/{name}'] = data
    write(tmp_path / f'static_40k_png_{i}_of_4.zip', members)
  data_dir = prepare(tmp_path, 'autoflow')
  check(
    flow_archives.source('autoflow/train', data_dir),
    {
      f'static_40k_png_{i}_of_4/good_{i}/forward.flo': (1, 2, 3)
      for i in range(1, 5)
    },
  )
  said = capsys.readouterr().out
  assert 'autoflow: 4 pairs, 5 left out.' in said
  archive = 'static_40k_png_2_of_4'
  for table, file in (
    ('magic', 'forward.flo'),
    ('short', 'forward.flo'),
    ('torn', 'im1.png'),
    ('size', 'im0.png'),
    ('gone', 'im0.png'),
  ):
    assert f'{archive}.zip: {archive}/{table}/{file}: ' in said


def test_missing_and_torn_archives_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='no MPI-Sintel-complete.zip in'):
    prepare(tmp_path, 'sintel')
  (tmp_path / 'data_scene_flow.zip').write_bytes(b'PK')
  with pytest.raises(ValueError, match='data_scene_flow.zip: .*whole archive'):
    prepare(tmp_path, 'kitti2015')


def test_unknown_and_unprepared_splits_are_named(tmp_path):
  with pytest.raises(ValueError, match="found 'sintel/train'; .*sintel_clean"):
    flow_archives.source('sintel/train', str(tmp_path))
  with pytest.raises(FileNotFoundError, match='flow_archives sintel --data_di'):
    flow_archives.source('sintel_final/train', str(tmp_path))

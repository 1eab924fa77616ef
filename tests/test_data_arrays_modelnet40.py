"""Meshes: read, refused by line; ModelNet40 from files to a run."""

import io
import json
import re
import sys
import zipfile

import numpy as np
import pytest

import train
from configs.perceiver_io import modelnet40 as config_file
from data import prepare as preparation
from data.arrays import modelnet40, off, predictions

SQUARE = [b'OFF', b'4 1 4', b'0 0 0', b'2 0 0', b'2 2 0', b'0 2 0']
SQUARE += [b'4 0 1 2 3']


def read(lines):
  return off.read(io.BytesIO(b'\n'.join(lines)), 'a.off')


def test_faces_become_fans():
  vertices, triangles = read(SQUARE)
  np.testing.assert_array_equal(vertices[2], [2, 2, 0])
  np.testing.assert_array_equal(triangles, [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(
  'lines',
  [
    [b'OFF4 1 4', *SQUARE[2:]],
    [b'OFF 4 1 4', *SQUARE[2:]],
    [b'# made by hand', b'', *SQUARE[:2], b'', *SQUARE[2:]],
    [*SQUARE[:-1], b'4 0 1 2 3 255 0 0  # red'],
    [line + b'\r' for line in SQUARE],
    [b'OFF', b'4 2 0', *SQUARE[2:6], b'2 0 1', SQUARE[6]],  # an edge
    [*SQUARE[:2], b'0 0 0 9 9', *SQUARE[3:]],  # more than a place
  ],
)
def test_ways_of_writing_a_mesh_are_one(lines):
  for found, expected in zip(read(lines), read(SQUARE), strict=True):
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
  'lines, message',
  [
    ([], 'a.off: expected OFF and the numbers .*found the end'),
    ([b'ply', b'4 1 4'], "line 1: expected OFF, found 'ply'"),
    ([b'OFF BINARY', b'\x00\x01'], 'line 1: expected numbers of vert'),
    ([b'OFF'], 'expected the numbers of vertices, .*found the end'),
    ([b'OFF', b'4'], "line 2: expected numbers of vertices.*found '4'"),
    ([b'OFF', b'-4 1 4'], "line 2: .*found '-4 1 4'"),
    ([b'OFF', b'99999999999999 1 0', b'0 0 0'], 'vertices, found the end'),
    ([b'OFF', b'9' * 5000 + b' 1 0'], 'line 2: expected numbers of vertices'),
    (SQUARE[:5], 'expected 4 vertices, found the end of the file'),
    ([*SQUARE[:3], b'2 zero 0', *SQUARE[4:]], "line 4: .*found '2 zero 0'"),
    ([*SQUARE[:3], b'2 nan 0', *SQUARE[4:]], 'line 4: .*three finite numbers'),
    ([*SQUARE[:3], b'2 0', *SQUARE[4:]], 'line 4: expected a vertex'),
    (SQUARE[:-1], 'expected 1 faces, found the end of the file'),
    ([*SQUARE[:-1], b'4 0 1 2'], 'line 7: expected 4 indices of vertices'),
    ([*SQUARE[:-1], b'3 0 1 4'], 'line 7: expected indices of 4 vertices'),
    ([*SQUARE[:-1], b'3 0 1 -1'], 'line 7: expected 3 indices'),
    ([*SQUARE[:-1], b'x' * 999], r"line 7: .*found 'x{40}\.\.\.'"),
  ],
)
def test_bad_meshes_are_refused_by_line(lines, message):
  with pytest.raises(ValueError, match=message) as e:
    read(lines)
  assert '\n' not in str(e.value) and len(str(e.value)) < 160


def test_points_are_spread_evenly_over_the_surface():
  vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5]])
  vertices = np.concatenate([vertices, [[0, 2, 5]]]).astype(float)
  triangles = np.array([[0, 1, 2], [3, 4, 5]])  # of areas 1/2 and 3
  rng = np.random.default_rng(0)
  points = off.sample(vertices, triangles, 20_000, rng)
  upper = points[:, 2] == 5
  assert upper.mean() == pytest.approx(6 / 7, abs=0.01)
  assert set(points[:, 2]) == {0, 5}
  x, y = points[upper, 0] / 3, points[upper, 1] / 2
  assert x.min() >= 0 and y.min() >= 0 and (x + y).max() <= 1 + 1e-6
  # An even spread has the middle of a triangle as its mean, and a quarter of
  # its points in the corner of half the size.
  np.testing.assert_allclose([x.mean(), y.mean()], 1 / 3, atol=0.01)
  assert np.mean(x + y < 0.5) == pytest.approx(1 / 4, abs=0.02)
  assert np.mean(x > 0.5) == pytest.approx(1 / 4, abs=0.02)


@pytest.mark.parametrize('scale', [0.0, 1e200])
def test_a_mesh_without_a_surface_is_refused(scale):
  lines = [b'OFF', b'3 1 0', b'0 0 0', b'%g 0 0' % scale, b'0 %g 0' % scale]
  mesh = io.BytesIO(b'\n'.join([*lines, b'3 0 1 2']))
  with pytest.raises(ValueError, match='^cup_1.off: expected a surface, found'):
    modelnet40.points(mesh, 'cup_1.off')


def preprocess(example, train=False, num_points=64):
  return modelnet40.preprocess(
    example,
    train=train,
    rng=np.random.default_rng(0),
    num_points=num_points,
    scale=(0.99, 1.01),
  )


def test_clouds_are_centred_in_the_unit_cube():
  cloud = np.random.default_rng(0).uniform(3, 9, (100, 3)) * [1, 2, 4]
  found = preprocess({'coordinates': cloud, 'y': 7})
  first = cloud[:64] - cloud[:64].mean(axis=0)
  np.testing.assert_allclose(
    found['coordinates'], first / abs(first).max(), atol=1e-6
  )
  assert found['label'] == 7 and found['label_mask'] == 1
  assert found['x'].shape == (64, 0) and found['input_mask'].all()
  # Neither the place nor the size of a thing counts.
  moved = preprocess({'coordinates': 5 * cloud - 3, 'y': 7})
  np.testing.assert_allclose(
    moved['coordinates'], found['coordinates'], atol=1e-6
  )


def test_each_point_is_scaled_by_a_factor_of_its_own():
  cloud = np.random.default_rng(0).normal(size=(2_000, 3))
  cloud -= cloud.mean(axis=0)
  plain = preprocess({'coordinates': cloud}, num_points=2_000)['coordinates']
  found = preprocess({'coordinates': cloud}, train=True, num_points=2_000)
  found = found['coordinates']
  assert abs(found).max() == pytest.approx(1)
  np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
  factors = np.linalg.norm(found, axis=1) / np.linalg.norm(plain, axis=1)
  factors /= np.median(factors)
  far = np.linalg.norm(plain, axis=1) > 0.2  # the mean hardly moves them
  assert 0.008 < factors[far].max() - 1 < 0.012
  assert 0.008 < 1 - factors[far].min() < 0.012


def test_few_points_are_filled_up_and_masked():
  found = preprocess({'coordinates': np.eye(3)})
  assert found['input_mask'].sum() == 3 and 'label' not in found
  assert not found['coordinates'][3:].any()
  with pytest.raises(ValueError, match=r'expected \[M, 3\], found \[5, 2\]'):
    preprocess({'coordinates': np.zeros((5, 2))})


def boxes(per_class=1):
  """Name -> mesh of ModelNet40's, of boxes."""
  found = {}
  for i, kind in enumerate(modelnet40.CLASSES):
    for split in ('train', 'test'):
      for j in range(per_class):
        mesh = [b'OFF', b'4 4 0', b'0 0 0', b'%d 0 0' % (1 + i)]
        mesh += [b'0 1 0', b'0 0 %d' % (1 + j), b'3 0 1 2', b'3 0 1 3']
        mesh += [b'3 0 2 3', b'3 1 2 3']
        name = f'ModelNet40/{kind}/{split}/{kind}_{j:04}.off'
        found[name] = b'\n'.join(mesh)
  return found


def write(root, meshes, as_archive):
  if as_archive:
    with zipfile.ZipFile(root / 'ModelNet40.zip', 'w') as file:
      for name, mesh in meshes.items():
        file.writestr(name, mesh)
      file.writestr('__MACOSX/ModelNet40/bed/test/._bed_0.off', b'\x00\x05')
      file.writestr('ModelNet40/bed/test/.DS_Store', b'\x00')
    return
  for name, mesh in meshes.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(mesh)


def prepare(root, data):
  modelnet40.main([f'--manual_dir={root}', f'--data_dir={data}'])


@pytest.mark.full
def test_from_meshes_to_a_run(tmp_path):
  write(tmp_path, boxes(), as_archive=True)
  prepare(tmp_path, tmp_path / 'data')
  found = modelnet40.source('train', str(tmp_path / 'data'))
  assert sorted(x['y'] for x in found) == list(range(40))
  (chair,) = (x for x in found if x['y'] == modelnet40.CLASSES.index('chair'))
  high = chair['coordinates'].max(axis=0)
  np.testing.assert_allclose(high, [9, 1, 1], rtol=0.15)
  assert chair['coordinates'].shape == (2_048, 3)
  assert chair.keys() == modelnet40.synthetic('train', 1)[0].keys()

  config = config_file.get_config('tiny')
  config.data.update(source='real', data_dir=str(tmp_path / 'data'))
  config.num_steps = config.checkpoint.every_steps = 2
  train.train_and_evaluate(config, str(tmp_path / 'run'))
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  last = json.loads(lines[-1])
  assert last['step'] == 2 and 0 <= last['test/accuracy'] <= 1


def test_a_folder_is_as_good_as_the_archive(tmp_path):
  meshes = boxes()
  for kind in ('archive', 'folder'):
    (tmp_path / kind).mkdir()
    write(tmp_path / kind, meshes, as_archive=kind == 'archive')
  with modelnet40._meshes(tmp_path / 'archive') as (names, open_mesh):
    theirs = modelnet40._by_split(tmp_path, names)
    one = modelnet40.points(open_mesh(theirs['test'][3]), theirs['test'][3])
  with modelnet40._meshes(tmp_path / 'folder') as (names, open_mesh):
    assert modelnet40._by_split(tmp_path, names) == theirs
    other = modelnet40.points(open_mesh(theirs['test'][3]), theirs['test'][3])
  np.testing.assert_array_equal(one, other)
  assert len(theirs['train']) == len(theirs['test']) == 40


def refused(root, monkeypatch, capsys):
  """The line that the program ends with, after TFDS's progress."""
  words = [f'--manual_dir={root}', f'--data_dir={root / "data"}']
  monkeypatch.setattr(sys, 'argv', ['prepare', 'arrays.modelnet40', *words])
  with pytest.raises(SystemExit) as e:
    preparation.main()
  assert e.value.code == 1
  line = capsys.readouterr().err.splitlines()[-1]
  assert line.startswith('data.prepare arrays.modelnet40: ')
  return line


@pytest.mark.parametrize(
  'change, message',
  [
    ({'ModelNet40/bed/train/bed_0000.off': b'OFF\n1'}, 'bed_0000.off, line 2'),
    ({'ModelNet40/ufo/train/ufo_0.off': b'OFF'}, "class 'ufo', expected one"),
    ({'ModelNet40/xbox/test/xbox_0000.off': None}, r'xbox/test/\*.off, found'),
    (None, r'expected ModelNet40.zip or ModelNet40/ in'),
  ],
)
def test_what_is_wrong_with_an_archive_is_one_line(
  change, message, tmp_path, monkeypatch, capsys
):
  if change is not None:
    meshes = {k: v for k, v in (boxes() | change).items() if v is not None}
    write(tmp_path, meshes, as_archive=True)
  line = refused(tmp_path, monkeypatch, capsys)
  assert re.search(message, line)


def test_a_broken_archive_is_named(tmp_path, monkeypatch, capsys):
  (tmp_path / 'ModelNet40.zip').write_bytes(b'PK nothing')
  line = refused(tmp_path, monkeypatch, capsys)
  assert 'ModelNet40.zip: expected a zip' in line


def test_clouds_of_users_are_read_as_the_runs(tmp_path):
  cloud = np.random.default_rng(0).normal(size=(2, 40, 3))
  np.savez(tmp_path / 'new.npz', coordinates=cloud)
  config = config_file.get_config('tiny')
  kind = predictions.make_predictions(config, modelnet40.CLASSES)
  given = kind.expand(str(tmp_path / 'new.npz'))
  expected = preprocess({'coordinates': cloud[1]}, num_points=32)
  found = kind.example(given[1])
  np.testing.assert_array_equal(found['coordinates'], expected['coordinates'])
  logits = np.zeros(40)
  logits[3] = 5
  values, _ = kind.result(given[1], {'logits': logits})
  assert 'bench' in values.values()

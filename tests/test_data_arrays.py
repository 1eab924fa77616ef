"""Arrays of users: what is read of files, and what is said of wrong ones."""

import numpy as np
import pytest

from configs.perceiver_io import arrays as config_file
from data.arrays import arrays, digits_as_points, files, predictions
from train_lib import run_files

RNG = np.random.default_rng(0)
OPTIONS = dict(mean=(0.0,), std=(1.0,), low=(0.0,), high=(4.0,), shift=0.0)


def save(path, **named):
  np.savez(path, **named)
  return str(path)


def series(num=40, length=5):
  return RNG.normal(size=(num, length)).astype(np.float32)


def test_series_with_classes(tmp_path):
  x, y = series(), np.array(['b', 'a'] * 20)
  split = np.array(['train'] * 30 + ['test'] * 10)
  path = save(tmp_path / 'a.npz', x=x, Labels=y, split=split)
  train, test = (arrays.source(s, path) for s in ('train', 'validation'))
  assert len(train) == 30 and len(test) == 10
  assert test[0]['classes'] == ('a', 'b') and int(test[0]['y']) == 1
  assert test[3]['file_name'] == f'{path}, example 33'
  out = arrays.preprocess(test[0], train=False, rng=None, **OPTIONS)
  np.testing.assert_array_equal(out['x'], x[30][:, None])
  np.testing.assert_array_equal(out['coordinates'][:, 0], np.linspace(-1, 1, 5))
  assert out['label'].dtype == np.int32 and out['label_mask'] == 1
  assert 'queries' not in out


def test_equal_examples_are_in_one_split(tmp_path):
  x = np.tile(series(20), (5, 1))
  path = save(tmp_path / 'a.npz', x=x, y=np.arange(100) % 2)
  parts = [
    {tuple(e['x'][:, 0]) for e in arrays.source(split, path)}
    for split in ('train', 'validation')
  ]
  assert all(parts) and not parts[0] & parts[1] and len(set.union(*parts)) == 20


def test_groups_stay_together(tmp_path):
  group = np.array([f'g{i % 10}' for i in range(100)])
  path = save(
    tmp_path / 'a.npz', x=series(100), y=np.arange(100) % 2, group=group
  )
  parts = [
    {group[i] for i in arrays.source(split, path).rows}
    for split in ('train', 'validation')
  ]
  assert all(parts) and not parts[0] & parts[1]


def test_what_y_is(tmp_path):
  """Fractions are numbers; what is as long as the elements is dense."""
  x = series(6)
  for y, dense, shape in (
    (np.arange(6.0), False, (1,)),
    (np.ones((6, 3)), False, (3,)),
    (np.ones((6, 5)), True, (5, 1)),
    (np.ones((6, 5, 2)), True, (5, 2)),
    (np.arange(30).reshape(6, 5) % 3, True, (5,)),
    (np.arange(6) % 2 == 0, False, ()),
  ):
    split = np.array(['train'] * 6)
    path = save(tmp_path / 'a.npz', x=x, y=y, split=split)
    source = arrays.source('train', path)
    assert source.dense == dense and np.shape(source[0]['y']) == shape, y.dtype
    assert (source.classes is None) == (y.dtype.kind == 'f')


def test_points_with_a_mask(tmp_path):
  """What is masked counts nowhere: not in statistics, not in the example."""
  points = RNG.uniform(10, 20, (8, 4, 3))
  mask = np.ones((8, 4))
  mask[:, 3] = 0
  points[:, 3] = 1e6
  split = np.array(['train'] * 8)
  path = save(
    tmp_path / 'a.npz',
    points=points,
    mask=mask,
    y=np.arange(8) % 2,
    split=split,
  )
  source = arrays.source('train', path)
  options = arrays.derived(source)
  low, high = options['data.preprocess.low'], options['data.preprocess.high']
  np.testing.assert_allclose(low, points[:, :3].min(axis=(0, 1)))
  np.testing.assert_allclose(high, points[:, :3].max(axis=(0, 1)))
  out = arrays.preprocess(
    source[0],
    train=False,
    rng=None,
    mean=(),
    std=(),
    low=low,
    high=high,
    shift=0,
  )
  assert out['x'].shape == (4, 0) and out['input_mask'].tolist() == [1, 1, 1, 0]
  assert abs(out['coordinates']).max() <= 1 and not out['coordinates'][3].any()


def test_a_field_asked_at_places(tmp_path):
  x = RNG.normal(size=(6, 4, 3, 2))
  queries, y = RNG.uniform(0, 3, (6, 7, 2)), RNG.normal(size=(6, 7))
  y[0, 0] = np.nan
  split = np.array(['train'] * 6)
  path = save(tmp_path / 'a.npz', x=x, queries=queries, y=y, split=split)
  source = arrays.source('train', path)
  options = arrays.derived(source)
  assert source.dense and options['model.max_resolution'] == (4, 3)
  assert options['task.y_mean'] == pytest.approx((np.nanmean(y),))
  statistics = {
    k: options[f'data.preprocess.{k}'] for k in OPTIONS if k != 'shift'
  }
  rng = np.random.default_rng(1)
  still, moved = (
    arrays.preprocess(source[0], train=t, rng=rng, shift=0.5, **statistics)
    for t in (False, True)
  )
  # Inputs and queries are moved alike.
  shifts = [moved[k] - still[k] for k in ('coordinates', 'queries')]
  np.testing.assert_allclose(shifts[0][0], shifts[1][0], atol=1e-6)
  assert 0 < abs(shifts[0]).max() <= 0.5
  assert still['label'][0, 0] == 0 and still['label_mask'][0, 0] == 0
  np.testing.assert_allclose(still['label'][1:, 0], y[0, 1:], rtol=1e-6)


def test_files_for_splits_and_arrays(tmp_path):
  for name, y in (('train', [0, 2] * 4), ('test', [2, 1] * 4)):
    (tmp_path / 'parts').mkdir(exist_ok=True)
    save(tmp_path / f'parts/{name}.npz', x=series(8), y=np.array(y))
  test = arrays.source('validation', str(tmp_path / 'parts'))
  assert test.classes == ('0', '1', '2') and test.y[:2].tolist() == [2, 1]
  (tmp_path / 'one').mkdir()
  np.save(tmp_path / 'one/x.npy', series(8))
  np.save(tmp_path / 'one/y.npy', np.arange(8) % 2)
  np.save(tmp_path / 'one/split.npy', np.array(['train'] * 8))
  assert len(arrays.source('train', str(tmp_path / 'one'))) == 8


def test_tables(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('width;height;label;split\n1;2,5;x;train\n3;4;y;train\n')
  with pytest.raises(
    ValueError, match=r"height, row 1: .* number, found '2,5'"
  ):
    arrays.source('train', str(path))
  path.write_text('width,height,label,split\n1,2.5,x,train\n3,4,y,train\n')
  source = arrays.source('train', str(path))
  np.testing.assert_array_equal(source.x[..., 0], [[1, 2.5], [3, 4]])
  assert source.classes == ('x', 'y')
  # Columns have units of their own.
  options = arrays.derived(source)
  np.testing.assert_allclose(options['data.preprocess.mean'], [[2], [3.25]])
  np.testing.assert_allclose(options['data.preprocess.std'], [[1], [0.75]])
  statistics = {
    k: options[f'data.preprocess.{k}'] for k in OPTIONS if k != 'shift'
  }
  out = arrays.preprocess(
    source[1], train=False, rng=None, shift=0.0, **statistics
  )
  assert out['x'].tolist() == [[1], [1]]
  path.write_text('width,label\n1,2.5\n3,4\n')
  assert files.read(path)['y'].tolist() == [2.5, 4]


def test_whole_numbers_that_are_no_classes(tmp_path):
  path = tmp_path / 'a.csv'
  rows = [f'{i},{i * i % 97}' for i in range(80)]
  path.write_text('\n'.join(['x1,label', *rows]))
  with pytest.raises(ValueError, match='classes in 80 labels, which look like'):
    arrays.source('train', str(path))
  path.write_text('\n'.join(['x1,number', *rows]))
  source = arrays.source('train', str(path))
  assert source.classes is None and source.y[3] == 9.0
  save(
    tmp_path / 'b.npz', x=series(4), number=np.arange(4), split=['train'] * 4
  )
  assert arrays.source('train', str(tmp_path / 'b.npz')).classes is None
  (tmp_path / 'parts').mkdir()
  for name, y in (('train', np.arange(4)), ('test', np.arange(4.0))):
    save(tmp_path / f'parts/{name}.npz', x=series(4), y=y)
  with pytest.raises(ValueError, match='classes or numbers in all splits'):
    arrays.source('train', str(tmp_path / 'parts'))


def test_ragged_lists_of_parquet(tmp_path):
  pandas = pytest.importorskip('pandas')
  pytest.importorskip('pyarrow')
  frame = pandas.DataFrame(
    {
      'x': [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]],
      'y': [[7], [8, 7]],
      'split': ['train', 'train'],
    }
  )
  frame.to_parquet(tmp_path / 'a.parquet')
  source = arrays.source('train', str(tmp_path / 'a.parquet'))
  assert source.mask.tolist() == [[1, 0], [1, 1]] and source.dense
  assert source.classes == ('7', '8')  # and no class of what is filled up
  assert source[0]['x'].tolist() == [[1, 2], [0, 0]]
  assert source[0]['y_mask'].tolist() == [1, 0]


@pytest.mark.parametrize(
  'named, message',
  [
    (dict(y=[0, 1]), 'expected x or coordinates'),
    (dict(x=np.ones((4, 3))), 'expected y, classes or numbers'),
    (dict(x=np.ones((4, 3)), y=[0, 1]), r'y: expected 4 as of x, found \[2\]'),
    (
      dict(x=np.full((4, 3), np.nan), y=[0] * 4),
      r'x: .* found nan at \[0, 0\]',
    ),
    (
      dict(x=np.array([['a']] * 4), y=[0] * 4),
      'x: expected numbers, found <U1',
    ),
    (dict(x=np.ones((4, 3)), y=[1] * 4), 'two classes or more, found'),
    (
      dict(x=np.ones((4, 3)), y=[0, 1] * 2, mask=np.ones((4, 2))),
      r'mask: expected \[4, 3\], found \[4, 2\]',
    ),
    (
      dict(x=np.ones((4, 3)), y=[0, 1] * 2, mask=np.zeros((4, 3))),
      'nothing counts of example 0',
    ),
    (
      dict(x=np.ones((4, 3)), y=[0, 1] * 2, coordinates=np.ones((5, 2))),
      r'coordinates: expected \[3, D\] or \[4, 3, D\], found \[5, 2\]',
    ),
    (
      dict(x=np.ones((4, 3)), y=np.zeros((4, 2), int)),
      r'y: expected \[4\] or \[4, 3\]',
    ),
    (
      dict(x=np.ones((4, 3)), y=[0, 1] * 2, split=['train'] * 3),
      r'split: expected \[4\], found \[3\]',
    ),
  ],
)
def test_arrays_that_are_wrong(tmp_path, named, message):
  path = save(tmp_path / 'a.npz', **named)
  with pytest.raises(ValueError, match=message) as error:
    arrays.source('train', path)
  assert path in str(error.value)


def test_files_that_are_wrong(tmp_path):
  ragged = np.array([[1], [1, 2]], dtype=object)
  np.savez(tmp_path / 'ragged.npz', x=ragged, y=[0, 1])
  (tmp_path / 'half.npz').write_bytes(b'PK\x03\x04 half of it')
  (tmp_path / 'a.parquet').write_bytes(b'no parquet')
  (tmp_path / 'a.mat').write_bytes(b'')
  for name, message in (
    ('ragged.npz', 'Python objects, which are not read'),
    ('half.npz', 'no file of NumPy'),
    ('a.parquet', 'Parquet'),
    ('a.mat', "found '.mat'"),
    ('none.npz', 'no such file'),
  ):
    with pytest.raises(ValueError, match=message) as error:
      arrays.source('train', str(tmp_path / name))
    assert name in str(error.value) and '\n' not in str(error.value)


def test_a_config_follows_its_data(tmp_path):
  path = save(tmp_path / 'a.npz', x=series(50) * 3 + 7, y=np.arange(50.0))
  config = config_file.get_config('tiny')
  config.data.data_dir = path
  config, classes = run_files.derived(config)
  assert classes is None and config.task.kind == 'numbers'
  assert config.task.num_outputs == 1 and not config.task.dense
  assert config.data.preprocess.mean[0] == pytest.approx(7, abs=1)
  assert config.model.max_resolution == (5,)


def test_what_is_predicted(tmp_path):
  config = config_file.get_config('tiny')
  config.data.source = 'synthetic'
  config, classes = run_files.derived(config)
  kind = predictions.make_predictions(config, classes)
  x = RNG.normal(size=(3, 10, 2))
  path = save(tmp_path / 'new.npz', x=x, y=np.arange(3))
  given = kind.expand(path)
  assert str(given[2]) == str(tmp_path / 'new[2].npz') and len(given) == 3
  from_file, in_python = kind.example(given[2]), kind.example(x[2])
  assert set(from_file) == {'x', 'coordinates', 'input_mask'}
  for name, array in from_file.items():
    np.testing.assert_array_equal(array, in_python[name])
  values, _ = kind.result(given[0], {'logits': np.float32([0, 2, 1])})
  assert values['label'] == '1'
  values, _ = kind.result(given[0], {'numbers': np.float32([2.5])})
  assert values == {'y': 2.5}
  with pytest.raises(
    ValueError, match=r'x: found \[M, 3\] of 10 elements; .* \[.M., 2\]'
  ):
    kind.example(np.ones((10, 3)))


def test_digits_as_points():
  image = np.zeros((2, 8, 8), np.uint8)
  image[0, 2, 5], image[0, 1, 0], image[1, 7, 7] = 16, 3, 9
  found = digits_as_points.points(image)
  assert found['mask'].tolist() == [[1, 1], [1, 0]]
  pairs = zip(
    found['coordinates'][0].tolist(), found['x'][0, :, 0], strict=True
  )
  assert {(*place, ink) for place, ink in pairs} == {(2, 5, 16), (1, 0, 3)}

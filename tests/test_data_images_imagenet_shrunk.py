"""Large training images made smaller beforehand, and nothing else."""

import io

import numpy as np
import PIL.Image
import pytest

from data.images import imagenet, imagenet_shrunk
from tests.test_data_images_device_augment import photograph

SIZES = [(700, 900), (600, 520), (512, 800), (300, 400)]  # height, width


def file_of(size, seed=0):
  file = io.BytesIO()
  photograph(*size, seed).save(file, 'JPEG', quality=95)
  return file.getvalue()


FILES = [file_of(size, seed) for seed, size in enumerate(SIZES)]


def source_of_test(split, data_dir):
  assert split in ('train', 'validation') and data_dir
  return [
    {'image': file, 'label': i, 'file_name': f'n{i}.JPEG'.encode()}
    for i, file in enumerate(FILES)
  ]


def same_folder(folder):
  return [f'--data_dir={folder}', f'--imagenet_dir={folder}']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Where it was prepared."""
  folder = tmp_path_factory.mktemp('shrunk')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(imagenet, 'source', source_of_test)
    imagenet_shrunk.main(same_folder(folder))
  return str(folder)


def read(split, folder):
  """Examples by label."""
  return {int(x['label']): x for x in imagenet_shrunk.source(split, folder)}


def test_large_training_images_alone_are_smaller(folder):
  found = read('train', folder)
  assert list(sorted(found)) == list(range(len(SIZES)))
  expected = {0: (658, 512), 1: (512, 591)}  # width, height
  for i, example in found.items():
    assert example['file_name'] == f'n{i}.JPEG'.encode()
    if i not in expected:
      assert example['image'] == FILES[i]
      continue
    image = PIL.Image.open(io.BytesIO(example['image']))
    assert image.format == 'JPEG' and image.size == expected[i]
    wanted = PIL.Image.open(io.BytesIO(FILES[i])).resize(
      expected[i], PIL.Image.BICUBIC
    )
    apart = np.float32(np.asarray(image)) - np.asarray(wanted)
    assert np.abs(apart).mean() < 2


def test_validation_is_imagenets(folder):
  found = read('validation', folder)
  assert [found[i]['image'] for i in sorted(found)] == FILES


def test_another_side_is_prepared_anew(folder, monkeypatch, capsys):
  monkeypatch.setattr(imagenet, 'source', source_of_test)
  arguments = same_folder(folder)
  imagenet_shrunk.main(arguments)
  assert 'prepared already' in capsys.readouterr().out
  try:
    imagenet_shrunk.main([*arguments, '--short_side=64'])
    said = capsys.readouterr().out
    assert 'again, before with short_side 512, now with short_side 64.' in said
    image = PIL.Image.open(io.BytesIO(read('train', folder)[0]['image']))
    assert min(image.size) == 64
  finally:
    imagenet_shrunk.main(arguments)


def test_side_must_be_pixels(capsys):
  with pytest.raises(SystemExit):
    imagenet_shrunk.main(['--data_dir=a', '--imagenet_dir=b', '--short_side=0'])
  assert '--short_side: found 0, expected' in capsys.readouterr().err


def test_what_is_not_prepared_names_the_command(tmp_path):
  with pytest.raises(FileNotFoundError, match='imagenet_shrunk --data_dir'):
    imagenet_shrunk.source('train', str(tmp_path))

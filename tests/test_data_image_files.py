"""Every picture is what a viewer shows, or one line that names its file."""

import io
import os
import warnings

import numpy as np
import PIL.Image
import pytest

from data import folders, image_files
from tests import odd_images
from tests.odd_images import COLOURS, GREY, HEIGHT, WIDTH

RIGHT, WRONG = odd_images.right(), odd_images.wrong()


@pytest.mark.parametrize('name', RIGHT)
def test_what_a_viewer_shows(tmp_path, name):
  data, pixels, tolerance = RIGHT[name]
  (tmp_path / name).write_bytes(data)
  for file in (tmp_path / name, str(tmp_path / name), data):
    image = image_files.read_image(file)
    assert image.mode == 'RGB'
    found = np.asarray(image)
    assert found.shape == pixels.shape
    assert np.abs(found - pixels.astype(float)).mean() <= tolerance
  assert np.asarray(image_files.read_image(data)).dtype == np.uint8


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
@pytest.mark.parametrize('name', WRONG)
def test_what_is_no_picture_is_one_line(tmp_path, name):
  data, message = WRONG[name]
  path = tmp_path / name
  if data is None:
    path.mkdir()
  else:
    path.write_bytes(data)
  with pytest.raises(ValueError, match=message) as error:
    image_files.read_image(path)
  assert str(error.value).startswith(f'{path}: ')
  assert 'expected' in str(error.value) and '\n' not in str(error.value)
  assert len(str(error.value)) < 400 + len(str(path))


def test_there_are_enough_kinds():
  assert len(RIGHT) + len(WRONG) >= 60


def test_a_file_that_is_not_there_and_one_that_may_not_be_read(tmp_path):
  with pytest.raises(ValueError, match=r'a\.png: .* there is no file'):
    image_files.read_image(tmp_path / 'a.png')
  path = tmp_path / 'b.png'
  path.write_bytes(RIGHT['plain.png'][0])
  path.chmod(0)
  if os.access(path, os.R_OK):
    pytest.skip('root may read everything')
  with pytest.raises(ValueError, match=r'b\.png: cannot be read: Permission'):
    image_files.read_image(path)


def test_errors_take_the_name_that_is_given():
  with pytest.raises(ValueError, match='^photos.zip: a.jpg: the file is empty'):
    image_files.read_image(b'', 'photos.zip: a.jpg')


def test_a_warning_that_is_an_error_names_the_file_too(tmp_path):
  path = tmp_path / 'large.png'
  path.write_bytes(WRONG['large.png'][0])
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    with pytest.raises(ValueError, match=r'large\.png: '):
      image_files.read_image(path)


CLASSES = (GREY // 64).astype(np.uint8)  # 0 to 3
MASKS = {
  'grey.png': odd_images.encode(CLASSES, 'PNG'),
  'grey.PNG': odd_images.encode(CLASSES, 'PNG'),
  'grey.tif': odd_images.encode(CLASSES, 'TIFF'),
  'grey.bmp': odd_images.encode(CLASSES, 'BMP'),
  'sixteen.png': odd_images.encode(CLASSES.astype(np.uint16), 'PNG'),
  'ints.tif': odd_images.encode(CLASSES.astype(np.int32), 'TIFF'),
  'two_bits.png': odd_images.png(odd_images.packed(CLASSES, 2), WIDTH, 2, 0),
  'four_bits.png': odd_images.png(odd_images.packed(CLASSES, 4), WIDTH, 4, 0),
  'palette_bits.png': odd_images.png(
    odd_images.packed(CLASSES, 2),
    *(WIDTH, 2, 3),
    (b'PLTE', bytes([9, 9, 9, 3, 2, 1, 0, 0, 0, 9, 9, 9])),
  ),
  'same_colours.png': odd_images.encode(odd_images.rgb(CLASSES), 'PNG'),
  'opaque.png': odd_images.encode(
    np.dstack([odd_images.rgb(CLASSES), np.full_like(CLASSES, 255)]), 'PNG'
  ),
}


@pytest.mark.parametrize('name', MASKS)
def test_masks_are_their_values(tmp_path, name):
  (tmp_path / name).write_bytes(MASKS[name])
  mask = image_files.read_mask(tmp_path / name)
  assert mask.dtype == np.uint8
  np.testing.assert_array_equal(mask, CLASSES)


def test_masks_of_other_kinds(tmp_path):
  def read(image, kind='PNG', **options):
    return image_files.read_mask(odd_images.encode(image, kind, **options))

  np.testing.assert_array_equal(read(CLASSES > 1), CLASSES > 1)
  np.testing.assert_array_equal(read(CLASSES > 1, 'TIFF'), CLASSES > 1)
  palette = PIL.Image.fromarray(CLASSES)
  palette.putpalette([0, 0, 0, 255, 0, 0, 255, 0, 0, 0, 0, 0])
  np.testing.assert_array_equal(read(palette), CLASSES)
  np.testing.assert_array_equal(read(palette, transparency=0), CLASSES)
  exif = PIL.Image.Exif()
  exif[274] = 3
  np.testing.assert_array_equal(read(CLASSES, exif=exif), CLASSES[::-1, ::-1])


@pytest.mark.parametrize(
  'data, message',
  [
    (odd_images.encode(COLOURS, 'PNG'), "found colours .mode 'RGB'"),
    (odd_images.encode(CLASSES, 'JPEG'), 'expected an image .*begins with'),
    (odd_images.encode(CLASSES / np.float32(2), 'TIFF'), 'found floats'),
    (
      odd_images.encode(np.full((4, 4), 300, np.uint16), 'PNG'),
      'from 0 to 255, found 300 to 300',
    ),
    (odd_images.encode(CLASSES, 'PNG')[:60], 'broken'),
    (b'', 'empty'),
  ],
)
def test_masks_that_are_none(data, message):
  with pytest.raises(ValueError, match=f'^m.png: .*{message}'):
    image_files.read_mask(data, 'm.png')


def test_folders_as_they_are(tmp_path, capsys):
  data = RIGHT['plain.png'][0]
  for name in ('b.PNG', 'a.jpg', 'c.webp', 'd.Tif', 'e.gif', 'f.bmp'):
    (tmp_path / name).write_bytes(data)
  for name in ('._a.jpg', '.DS_Store', 'Thumbs.db', 'desktop.ini', '.x.png'):
    (tmp_path / name).write_bytes(b'\0\5\x16\7')
  (tmp_path / 'g.png').mkdir()
  assert [p.name for p in image_files.image_paths(tmp_path)] == [
    *('a.jpg', 'b.PNG', 'c.webp', 'd.Tif', 'e.gif', 'f.bmp')
  ]
  assert 'passed by 1 folders; expected' in capsys.readouterr().out
  for name in ('notes.txt', 'x.heic', 'y.HEIC', 'LICENSE'):
    (tmp_path / name).write_bytes(b'')
  image_files.image_paths(tmp_path)
  said = capsys.readouterr().out
  assert 'passed by 2 .heic, 1 .txt, 1 LICENSE' in said.replace(
    '1 LICENSE, 2 .heic, 1 .txt', '2 .heic, 1 .txt, 1 LICENSE'
  )
  (tmp_path / 'a.png').write_bytes(data)
  with pytest.raises(ValueError, match=r'a\.png: found a\.jpg, too'):
    folders.by_stem(image_files.image_paths(tmp_path))
  with pytest.raises(FileNotFoundError, match='nowhere: .* no such folder'):
    image_files.image_paths(tmp_path / 'nowhere')


def test_what_cannot_be_read_is_left_out_and_counted(tmp_path, capsys):
  (tmp_path / 'a.jpg').write_bytes(RIGHT['plain_jpg.jpg'][0])
  (tmp_path / 'b.jpg').write_bytes(WRONG['half.jpg'][0])
  paths = image_files.image_paths(tmp_path)
  assert image_files.readable(paths) == paths[:1]
  said = capsys.readouterr().out
  assert f'Left out: {paths[1]}: the file is broken' in said
  assert '1 of 2 images cannot be read' in said
  paths[1].write_bytes(RIGHT['plain_jpg.jpg'][0])
  assert image_files.readable(paths) == paths  # It is looked at again.
  paths[0].write_bytes(b'')
  with pytest.raises(ValueError, match='None of 1 images can be read: .*a.jpg'):
    image_files.readable(paths[:1])


@pytest.mark.parametrize(
  'data',
  [
    b'dog\ncat\n',
    b'\xef\xbb\xbfdog\r\ncat',
    b'\n dog \n\ncat\n\n',
    'dog\ncat'.encode('utf-16'),
  ],
)
def test_lines_with_and_without_a_mark(tmp_path, data):
  (tmp_path / 'classes.txt').write_bytes(data)
  assert folders.read_lines(tmp_path / 'classes.txt') == ('dog', 'cat')


@pytest.mark.parametrize(
  'data, message',
  [
    (b'', 'found none'),
    (b'a\nb\na\n', "found 'a' twice"),
    (b'caf\xe9\n', 'expected text in UTF-8; byte 3 is 0xe9'),
  ],
)
def test_lines_that_are_none(tmp_path, data, message):
  (tmp_path / 'classes.txt').write_bytes(data)
  with pytest.raises(ValueError, match=f'classes.txt: .*{message}'):
    folders.read_lines(tmp_path / 'classes.txt')


def test_odd_files_have_what_they_say():
  """The makers of this file's odd pictures, seen by other means."""
  assert COLOURS.shape == (HEIGHT, WIDTH, 3)
  turned = PIL.Image.open(io.BytesIO(odd_images.with_orientation('PNG', 6)))
  assert turned.size == (HEIGHT, WIDTH) and turned.getexif()[274] == 6

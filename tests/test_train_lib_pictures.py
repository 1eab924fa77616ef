"""Pictures say what they show, lie where they belong, reach TensorBoard."""

import numpy as np
import PIL.Image
import pytest
from tensorboardX.proto import event_pb2

from train_lib import pictures, writer

SVG = (
  '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20">'
  '<rect width="9" height="9"/></svg>'
)


def events(folder):
  """The protocol buffers of TensorBoard's files, read without TensorBoard."""
  for path in sorted(folder.glob('events.*')):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], 'little')
      yield event_pb2.Event.FromString(data[12 : 12 + length])
      data = data[16 + length :]


@pytest.mark.parametrize(
  'picture, suffix', [(PIL.Image.new('RGB', (30, 20)), '.png'), (SVG, '.svg')]
)
def test_a_file_says_what_it_shows(tmp_path, picture, suffix):
  album = pictures.Album(tmp_path / 'a', 'A <title>', 'A & comment')
  album.write(7, [(picture, 'Ä "description"'), (picture, '')])
  first, second = pictures.by_step(tmp_path / 'a')[7]
  assert (first.name, second.name) == (
    f'0000007_0{suffix}',
    f'0000007_1{suffix}',
  )
  assert pictures.texts(first) == {
    'Title': 'A <title>',
    'Comment': 'A & comment',
    'Description': 'Ä "description"',
  }
  assert not pictures.texts(second).get('Description')
  assert pictures.size(first) == (30, 20)


def test_albums_are_in_order_of_their_numbers(tmp_path):
  album = pictures.Album(tmp_path, '')
  image = PIL.Image.new('RGB', (1, 1))
  for step in (3, 12_345_678):
    album.write(step, [(image, '')] * 11)
  (tmp_path / 'notes.png').write_text('another file')
  found = pictures.by_step(tmp_path)
  assert list(found) and set(found) == {3, 12_345_678}
  for paths in found.values():
    numbers = [int(p.stem.split('_')[1]) for p in paths]
    assert numbers == list(range(11))
  assert pictures.by_step(tmp_path / 'none') == {}


def test_tensorboard_gets_the_pictures_of_the_step(tmp_path):
  log = writer.Writer(str(tmp_path), 0)
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (2, 5, 6, 3), np.uint8)
  for name in ('first', 'second'):
    album = pictures.Album(pictures.folder_of(tmp_path, name), 'Title')
    album.write(4, [(PIL.Image.fromarray(pixels[0]), '')])
    album.write(8, [(PIL.Image.fromarray(x), '') for x in pixels] + [(SVG, '')])
  log.write_pictures(8, ['first', 'second', 'without'])
  log.close()
  found = {
    value.tag: (event.step, value.image)
    for event in events(tmp_path)
    for value in event.summary.value
    if value.HasField('image')
  }
  assert set(found) == {'first/0', 'first/1', 'second/0', 'second/1'}
  for tag, (step, image) in found.items():
    assert step == 8
    (tmp_path / 'shown.png').write_bytes(image.encoded_image_string)
    np.testing.assert_array_equal(
      PIL.Image.open(tmp_path / 'shown.png'), pixels[int(tag[-1])]
    )


def test_the_legend_has_the_colours_of_the_segments():
  classes = np.array([[0, 1], [2, 255]])
  shown = pictures.segments(np.zeros((2, 2, 3), np.uint8), classes, 3)
  np.testing.assert_array_equal(shown.reshape(4, 3), pictures.palette(3))
  legend = np.asarray(pictures.legend(pictures.palette(3)[[0, 2]], ['a', 'b']))
  for color, there in zip(pictures.palette(3), (1, 0, 1, 0), strict=True):
    assert (legend == color).all(axis=-1).any() == there


def test_clusters_have_colours_where_they_look_and_nowhere_else():
  assignment = np.full((2, 4, 4), 1e-6)
  assignment[0, 0, 0] = assignment[1, 3, 3] = 0.9
  plain = np.full((40, 40, 3), 100, np.uint8)
  drawn = pictures.clusters(plain, assignment).astype(int)
  first, second, _ = pictures.palette(2).astype(int)
  assert np.abs(drawn[0, 0] - first).max() < 3
  assert np.abs(drawn[-1, -1] - second).max() < 3
  dimmed = drawn[5, 35]  # the grey of the image, darker
  assert np.ptp(dimmed) < 3 and 0 < dimmed[0] < 60


def test_a_long_legend_has_several_lines():
  colors = pictures.palette(40)[:40]
  names = [f'class {i}' for i in range(40)]
  legend = np.asarray(pictures.legend(colors, names, width=300))
  assert legend.shape[1] == 300 and legend.shape[0] > 100
  for color in colors:
    assert (legend == color).all(axis=-1).any()

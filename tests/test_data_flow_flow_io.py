"""Flow files and the colours of flow."""

import struct

import cv2
import numpy as np
import pytest

from data.flow import flow_io


def some_flow(seed=0, size=(5, 7)):
  return np.random.default_rng(seed).normal(0, 20, (*size, 2)).astype('f4')


def test_flo_by_hand():
  """Row by row, x before y, after 'PIEH', width and height."""
  numbers = np.arange(12, dtype='<f4')
  data = struct.pack('<f2i', 202021.25, 3, 2) + numbers.tobytes()
  found, valid = flow_io.decode_flo(data, 'a.flo')
  np.testing.assert_array_equal(found, numbers.reshape(2, 3, 2))
  assert valid.all()
  assert flow_io.encode_flo(found) == data


def test_unknown_flow_is_not_valid():
  expected = some_flow()
  for value in (1.7e9, np.nan, np.inf):
    expected[2, 3, 1] = value
    found, valid = flow_io.decode_flo(flow_io.encode_flo(expected), 'a')
    assert valid[2, 3] == 0 and valid.sum() == valid.size - 1
    assert (found[2, 3] == 0).all()


@pytest.mark.parametrize(
  'data, message',
  [
    (b'PIEG' + bytes(100), r"x/a\.flo: begins with b'PIEG', expected"),
    (b'', r"x/a\.flo: begins with b''"),
    (b'PIEH\1\0', r'x/a\.flo: 6 bytes, expected a header'),
    (
      flow_io.encode_flo(some_flow())[:-1],
      r'x/a\.flo: 291 bytes, expected 292 for 7 x 5',
    ),
    (b'PIEH' + struct.pack('<2i', -1, 5), r'x/a\.flo: .* for -1 x 5'),
  ],
)
def test_broken_flo_files_are_named(data, message):
  with pytest.raises(ValueError, match=message):
    flow_io.decode_flo(data, 'x/a.flo')


def test_kitti_by_hand():
  """Blue is validity, green y, red x; PNG stores red, green, blue."""
  pixels = np.zeros((2, 3, 3), np.uint16)  # OpenCV's order: blue, green, red
  pixels[0, 1] = 1, 2**15 + 64 * 3, 2**15 - 32
  data = cv2.imencode('.png', pixels)[1].tobytes()
  found, valid = flow_io.decode_kitti(data, 'a.png')
  assert valid.tolist() == [[0, 1, 0], [0, 0, 0]]
  np.testing.assert_array_equal(found[0, 1], [-0.5, 3])
  assert (found[valid == 0] == 0).all()


def test_kitti_there_and_back():
  expected, valid = some_flow(), np.ones((5, 7), np.uint8)
  valid[1], expected[1] = 0, np.nan
  data = flow_io.encode_kitti(expected, valid)
  found, known = flow_io.decode_kitti(data, 'a.png')
  np.testing.assert_array_equal(known, valid)
  np.testing.assert_allclose(found[[0, 2]], expected[[0, 2]], atol=1 / 128)
  with pytest.raises(ValueError, match='less than 512'):
    flow_io.encode_kitti(np.full((2, 2, 2), 512.0), np.ones((2, 2)))


def test_broken_kitti_files_are_named():
  data = flow_io.encode_kitti(some_flow(), np.ones((5, 7)))
  eight_bits = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint8))[1].tobytes()
  for broken in (b'text', data[:20], eight_bits):
    with pytest.raises(ValueError, match=r'x/a\.png: found '):
      flow_io.decode_kitti(broken, 'x/a.png')


def test_colours_are_those_of_the_wheel():
  """At full length the pure hues: right is red, left cyan; none is white."""
  motion = np.float32([[[1, 0], [0, 0], [2, 0], [0.5, 0], [-1, 1e-7]]])
  picture = flow_io.colours(motion, max_motion=1.0)[0]
  assert picture[0].tolist() == [255, 0, 0]
  assert picture[1].tolist() == [255, 255, 255]
  assert picture[2].tolist() == [191, 0, 0]
  assert picture[3].tolist() == [255, 128, 128]
  assert picture[4, 0] < 50 and picture[4, 1:].min() > 150
  halves = flow_io.colours(some_flow()), flow_io.colours(some_flow() / 2)
  np.testing.assert_array_equal(*halves)  # The longest is the unit.

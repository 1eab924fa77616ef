"""Real stereo pairs: the flow is minus the disparity."""

import numpy as np
import PIL.Image
import pytest

from data.flow import stereo_aloe, stereo_motorcycle
from tests.flow_pairs import photometric_error


def test_the_motorcycle_moves_to_the_left(tmp_path):
  (raw,) = stereo_motorcycle.source('test', str(tmp_path))
  out = stereo_motorcycle.preprocess(raw, train=False, rng=None)
  frames, motion, valid = out['frames'], out['flow'], out['valid']
  assert frames.shape == (2, 500, 741, 3)
  assert valid.mean() == pytest.approx(0.927, abs=1e-3)
  x = motion[valid > 0][:, 0]
  assert (x.min(), x.max()) == pytest.approx((-59.9, -7.19), abs=0.01)
  right = photometric_error(frames, motion, valid)
  wrong = photometric_error(frames, -motion, valid)
  assert right < 0.4 * wrong


def test_the_aloe_moves_to_the_left_where_its_disparity_is_known(tmp_path):
  """A picture in its files' form, of which the right one has moved by 6."""
  rng = np.random.default_rng(0)
  left = rng.integers(0, 256, (40, 60, 3), np.uint8)
  PIL.Image.fromarray(left).save(tmp_path / 'aloeL.jpg', quality=100)
  right = np.roll(left, -6, axis=1)
  PIL.Image.fromarray(right).save(tmp_path / 'aloeR.jpg', quality=100)
  disparity = np.full((40, 60), 6, np.uint8)
  disparity[:, :7] = 0
  PIL.Image.fromarray(disparity).save(tmp_path / 'aloeGT.png')
  flags = [f'--data_dir={tmp_path / "sets"}', f'--manual_dir={tmp_path}']
  stereo_aloe.main(flags)
  (raw,) = stereo_aloe.source('test', str(tmp_path / 'sets'))
  out = stereo_aloe.preprocess(raw, train=False, rng=None)
  frames, motion, valid = out['frames'], out['flow'], out['valid']
  np.testing.assert_array_equal(
    valid, np.broadcast_to(np.arange(60) > 6, (40, 60))
  )
  np.testing.assert_array_equal(motion[valid > 0], [[-6, 0]] * (40 * 53))
  right = photometric_error(frames, motion, valid)
  assert right < 0.2 * photometric_error(frames, 0 * motion, valid)


def test_what_lacks_a_file_of_the_aloe_is_told(tmp_path):
  flags = [f'--data_dir={tmp_path / "sets"}', f'--manual_dir={tmp_path}']
  with pytest.raises(FileNotFoundError, match='found no aloeL.jpg in'):
    stereo_aloe.main(flags)

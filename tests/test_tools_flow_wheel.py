"""The legend of flow: a motion's colour is where the motion leads."""

import numpy as np
import pytest

from data.flow import flow_io
from tools import flow_wheel


@pytest.mark.parametrize('x, y', [(1, 0), (-1, 0), (0, 1), (0, -1), (0.6, 0.8)])
def test_a_motion_has_the_colour_of_the_place_it_leads_to(x, y):
  wheel = flow_wheel.wheel(201)
  field = np.zeros((1, 2, 2))  # a picture of one motion and of none
  field[0, 0] = x, y
  moved, still = flow_io.colours(field)[0]
  found = wheel[100 + round(100 * y), 100 + round(100 * x)]
  np.testing.assert_allclose(found, moved, atol=4)
  assert np.abs(found.astype(int) - still).max() > 100
  np.testing.assert_array_equal(wheel[100, 100], still)
  np.testing.assert_array_equal(wheel[0, 0], 255)

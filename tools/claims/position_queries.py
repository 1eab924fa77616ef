"""Flow whose queries know where they are, and nothing of what is there."""

from perceiver_io import models
from perceiver_io.perceiver import Perceiver
from perceiver_io.position_encoding import FourierPositions
from perceiver_io.queries import PositionQueries


def make_flow(**sizes) -> Perceiver:
  """`models.conv_optical_flow` of the same arguments, with such queries."""
  grid = tuple(side // 4 for side in sizes['image_size'])
  positions = FourierPositions(sizes['num_bands'])
  queries = PositionQueries(grid, positions)
  return models.conv_optical_flow(**sizes).clone(queries=queries)

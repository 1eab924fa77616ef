"""Memory grows with the patches, not with their square."""

import pytest

from benchmarks import high_resolution
from configs.paca_vit import models
from paca_vit import classifier


def model(clustered):
  config = models.demo()
  config.update(channels=(8,), depths=(1,), num_heads=(2,), in_channels=3)
  config.num_clusters = (4 if clustered else 0,)
  config.block.implementation = 'plain'
  return classifier.make_classifier(config)


@pytest.mark.full
@pytest.mark.parametrize(
  'clustered, low, high', [(True, 3.0, 4.4), (False, 8.0, 16.1)]
)
def test_memory_of_four_times_the_patches(clustered, low, high):
  small, large = (
    high_resolution.gradient_memory(model(clustered), size)
    for size in (128, 256)
  )
  assert low < large / small < high

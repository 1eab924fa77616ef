"""Cluster usage by hand-made assignments, and the pictures."""

import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
import pytest

from configs import common
from paca_vit.evaluators import cluster_maps
from train_lib import sharding, train_state


def assignment(winners, num_clusters):
  """Weights [1, M, H, W] whose arg-max is `winners` [H, W]."""
  return np.eye(num_clusters)[winners].transpose(2, 0, 1)[None]


def test_usage_of_even_and_of_lone_clusters():
  even = np.arange(16).reshape(4, 4) % 4
  assert cluster_maps.clusters_in_use(assignment(even, 8)) == (4.0, 4.0)
  lone = np.full((4, 4), 3)
  assert cluster_maps.clusters_in_use(assignment(lone, 8)) == (1.0, 1.0)


def test_usage_is_over_all_images():
  left = assignment(np.zeros((2, 2), int), 2)
  right = assignment(np.ones((2, 2), int), 2)
  both = np.concatenate([left, right])
  np.testing.assert_allclose(cluster_maps.clusters_in_use(both), (2, 2))


def test_patches_that_clusters_see():
  maps = np.zeros((3, 2, 4))
  maps[0, 0, 0] = 0.3  # however large
  maps[1] = 0.125
  maps[2, :, :2] = 0.25
  np.testing.assert_allclose(cluster_maps.patches_seen(maps), (1, 8, 4))


class HalvesTask:
  """Predicts a left and a right cluster; keeps what it was asked."""

  def predict(self, variables, batch):
    del variables
    half = (jnp.arange(8) < 4).astype(jnp.float32)
    halves = jnp.stack([half, 1 - half]) / 32
    shape = (len(batch['image']), 2, 8, 8)
    return {
      'cluster_maps': {'stage_1': jnp.broadcast_to(halves[:, None], shape)}
    }


@pytest.fixture
def config():
  return ml_collections.ConfigDict(
    dict(
      data=common.data('data.images.mnist5k', 'test', 1),
      image_folder='',
      num_images=3,
    )
  )


def evaluator(config, workdir):
  config.data.source = 'synthetic'
  return cluster_maps.make_evaluator(
    config,
    task=HalvesTask(),
    mesh=sharding.make_mesh({'data': -1}),
    folder=workdir / 'clusters',
  )


STATE = train_state.TrainState(jnp.int32(7), {}, {}, ())


def test_pictures_show_the_halves(config, tmp_path):
  results = evaluator(config, tmp_path).run(STATE)
  assert results['stage_1_effective_clusters'] == pytest.approx(2)
  paths = sorted((tmp_path / 'clusters').iterdir())
  assert [p.name for p in paths] == [f'0000007_{i}.png' for i in range(3)]
  pixels = np.asarray(PIL.Image.open(paths[0]))
  side = 128
  tile = side + 4
  segmentation = pixels[22 : 14 + side, tile + 4 : 2 * tile - 4]
  left, right = np.array_split(segmentation, 2, axis=1)
  assert len(np.unique(left.reshape(-1, 3), axis=0)) == 1
  assert len(np.unique(right.reshape(-1, 3), axis=0)) == 1
  assert (left[0, 0] != right[0, 0]).any()


def test_any_folder_of_images(config, tmp_path):
  for name, size in (('a.png', (40, 20)), ('b.jpg', (64, 64))):
    PIL.Image.new('RGB', size, 'orange').save(tmp_path / name)
  config.image_folder = str(tmp_path)
  evaluator(config, tmp_path).run(STATE)
  assert len(list((tmp_path / 'clusters').iterdir())) == 2


def test_empty_folder_is_named(config, tmp_path):
  config.image_folder = str(tmp_path)
  with pytest.raises(ValueError, match=f'image_folder.*{tmp_path}'):
    evaluator(config, tmp_path)

"""Supervised clusters: what they say on the labels, and their pictures."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
import pytest

from configs import common
from paca_vit import segmentation
from paca_vit.evaluators import supervised_clusters
from paca_vit.tasks import segmentation as task_module
from train_lib import train_state

STATE = train_state.TrainState(jnp.int32(7), {}, {}, ())
NUM_CLASSES = 2  # of the synthetic folder: ground, square


@dataclasses.dataclass(frozen=True)
class Threshold:
  """Finds the bright square; its clusters say the opposite."""

  with_clusters: bool = True

  def apply(self, variables, images, train):
    del variables
    bright = (images.mean(axis=-1) > -0.3).astype(int)
    logits = jax.nn.one_hot(bright, NUM_CLASSES)
    clusters = logits[..., ::-1] if self.with_clusters else None
    return segmentation.Outputs(logits, clusters)


def evaluator(workdir, model=None, class_names=('ground', 'square')):
  config = ml_collections.ConfigDict(
    dict(
      data=common.data(
        'data.segmentation.image_mask_folder',
        'test',
        1,
        bounds=(100, 80),
        crop_size=80,
        scale=(1.0, 1.0),
        max_share=1.0,
      ),
      class_names=class_names,
      num_images=2,
    )
  )
  config.data.source = 'synthetic'
  return supervised_clusters.make_evaluator(
    config,
    task=task_module.Segmentation(
      model or Threshold(), NUM_CLASSES, 0.4, False
    ),
    mesh=jax.sharding.Mesh(jax.devices()[:1], ('data',)),
    folder=workdir / 'segmentation',
  )


def test_prediction_and_clusters_are_told_apart(tmp_path):
  results = evaluator(tmp_path).run(STATE)
  assert results['prediction_mean_iou'] > 0.9
  assert results['clusters_mean_iou'] < 0.1
  assert results['prediction_accuracy'] + results[
    'clusters_accuracy'
  ] == pytest.approx(1)
  paths = sorted((tmp_path / 'segmentation').iterdir())
  assert [p.name for p in paths] == ['0000007_0.png', '0000007_1.png']
  picture = PIL.Image.open(paths[0])
  assert 'of the clusters 0.0' in picture.info['Description']
  # 4 tiles of 192 x 154 in the first row: labels, prediction, clusters.
  pixels = np.asarray(picture)[30:150].astype(int)
  tiles = [pixels[:, 196 * i + 6 : 196 * i + 190] for i in range(4)]
  same = (tiles[1] == tiles[2]).all(axis=-1).mean()
  other = (tiles[1] == tiles[3]).all(axis=-1).mean()
  assert same > 0.9 and other < 0.1


def test_head_without_clusters_is_named(tmp_path):
  with pytest.raises(ValueError, match="expected .*kind 'PacaHead'"):
    evaluator(tmp_path, Threshold(with_clusters=False)).run(STATE)


def test_names_must_be_as_many_as_the_classes(tmp_path):
  with pytest.raises(ValueError, match='class_names: expected 2, found 1'):
    evaluator(tmp_path, class_names=('ground',))


def test_classes_without_names_are_numbered(tmp_path):
  numbered = evaluator(tmp_path, class_names=())
  assert list(numbered._class_names) == ['0', '1']
  numbered.run(STATE)

"""Shows the clusters behind detections: which of them look at an object.

For each of a few images a picture: what is found, and for the detections with
the largest scores the cluster with most of its weight on the detection's mask,
of all stages that cluster. Says how much weight that is beside what the mask's
area alone would have.

Shapes: H, W of an image, M clusters, h, w of a stage's map of the canvas.
"""

import pathlib
from typing import Any

import ml_collections
import numpy as np
from jax.sharding import Mesh

from data.detection import coco_json, detection_ops
from paca_vit.evaluators import detection
from paca_vit.tasks.detection import Detection
from train_lib import pictures, pipeline, sharding
from train_lib.train_state import TrainState

_NUM_SHOWN = 3  # detections of an image
_SIDE = 480  # pixels of a tile's longer side
TITLE = 'Clusters behind detections'
COMMENT = (
  'Left: what is found. Then, for the largest scores, where the cluster with '
  'most weight on the object takes its patches from.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Detection,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'DetectionClusters':
  """Reads data and num_images."""
  source, module = pipeline.open_source(config.data)
  options = dict(config.data.preprocess)
  places = pipeline.spread(len(source), min(config.num_images, len(source)))
  examples = [
    (source[i], module.preprocess(source[i], train=False, rng=None, **options))
    for i in places
  ]
  return DetectionClusters(task, examples, mesh, folder)


class DetectionClusters:
  """Writes an album; returns weight_on_object and area_of_object, means over
  the detections shown, shares of 1; nothing if nothing was found."""

  def __init__(
    self,
    task: Detection,
    examples: list[tuple[dict[str, Any], dict[str, np.ndarray]]],
    mesh: Mesh,
    folder: pathlib.Path,
  ):
    self._examples = examples
    self._album = pictures.Album(folder, TITLE, COMMENT)

    def predict(variables, batch):
      maps = task.cluster_maps(variables, batch)
      return task.predict(variables, batch), maps

    self._predict = sharding.jit_everywhere(mesh, predict)

  def run(self, state: TrainState) -> dict[str, float]:
    shown, shares = [], []
    for example, batch in self._examples:
      batch = {name: x[None] for name, x in batch.items()}
      outputs, maps = self._predict(state.eval_variables, batch)
      outputs = {name: x[0] for name, x in outputs.items()}
      canvas, size = batch['image'].shape[1:3], batch['image_size'][0]
      results = detection.results_of(example, outputs, size)
      maps = {stage: seen(x[0], canvas, *size) for stage, x in maps.items()}
      picture, found = draw(example, results[:_NUM_SHOWN], maps)
      shown.append((picture, example['info']['file_name']))
      shares += found
    self._album.write(int(state.step), shown)
    if not shares:
      return {}
    on_object, area = np.mean(shares, axis=0)
    return {'weight_on_object': float(on_object), 'area_of_object': float(area)}


def seen(
  maps: np.ndarray, canvas: tuple[int, int], height: int, width: int
) -> np.ndarray:
  """The part [M, h', w'] of maps [M, h, w] of a canvas that shows the image."""
  rows, columns = (
    max(1, round(n * side / whole))
    for n, side, whole in zip(
      maps.shape[1:], (height, width), canvas, strict=True
    )
  )
  return maps[:, :rows, :columns]


def draw(
  example: dict[str, Any],
  results: list[dict[str, Any]],
  maps: dict[str, np.ndarray],
):
  """A row of tiles, and (weight on the mask, its area) of each detection.

  Args:
    example: of `coco.source`.
    results: COCO results, by falling scores.
    maps: stage -> weights [M, h, w] over the image.
  """
  image = coco_json.open_image(example)
  drawn = detection.draw(image, example['categories'], results)
  row = [pictures.captioned(drawn, f'{len(results)} largest scores')]
  plain, shares = pictures.tile(image, _SIDE), []
  for x in results:
    mask = detection_ops.decode_mask(x, *image.shape[:2]).astype(np.float64)
    weights = {
      stage: (stage_maps * shrunk(mask, stage_maps.shape[1:])).sum((1, 2))
      / np.maximum(stage_maps.sum((1, 2)), 1e-12)
      for stage, stage_maps in maps.items()
    }
    stage = max(weights, key=lambda name: weights[name].max())
    cluster = int(weights[stage].argmax())
    share = float(weights[stage][cluster])
    row.append(
      pictures.captioned(
        pictures.heat(plain, maps[stage][cluster]),
        f'{stage}, cluster {cluster}: {share:.0%} on {x["score"]:.2f}',
      )
    )
    shares.append((share, float(mask.mean())))
  return pictures.grid([row]), shares


def shrunk(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """A mask [H, W] by the mean over each cell of a grid [h, w]."""
  import cv2

  return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA)

"""Shows what the clusters of a PaCa model attend to.

For each of a few images a picture: the image, then for each stage where all its
clusters look (`pictures.clusters`) and heat maps of those that look at the
fewest patches, exp(entropy) of the weights. And for each stage how many
clusters win any patch, whose weight there is the largest of all, and how many
are effectively in use: exp(entropy) of the shares of patches that they win, 1
if one cluster takes all and M if all take the same.

Any task whose `predict` returns `cluster_maps`, {stage: [B, M, H, W]}, can be
shown; the images are those of the evaluator's data set, or of any folder:
  python eval.py ... --config.evals.clusters.image_folder=/path/to/images

Shapes: B batch, M clusters, H, W of a stage's map, N = H W patches.
"""

import pathlib
from typing import Any

import ml_collections
import numpy as np
import PIL.Image
from jax.sharding import Mesh

from data.images import folder_examples
from train_lib import pictures, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

NUM_HEAT_MAPS = 4
TITLE = 'What the clusters attend to'
COMMENT = (
  'For each stage where its clusters look, a colour a cluster, and the weights '
  'of those that look at the fewest patches, with how many those amount to.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'ClusterMaps':
  """Reads data, image_folder ('' for the data set's images), num_images."""
  batch = folder_examples.load(config)
  return ClusterMaps(task, batch, mesh, folder)


class ClusterMaps:
  """Writes `folder`/<step>_<image>.png."""

  def __init__(self, task: Task, batch: Any, mesh: Mesh, folder: pathlib.Path):
    self._batch = batch
    self._predict = sharding.jit_everywhere(mesh, task.predict)
    self._album = pictures.Album(folder, TITLE, COMMENT)

  def check(self, state: TrainState) -> None:
    """Raises a ValueError if the task of a state's shapes predicts no maps."""
    shapes = self._predict.eval_shape(state.eval_variables, self._batch)
    if not shapes.get('cluster_maps'):
      raise ValueError(
        'cluster_maps: the task predicts none; expected a PaCa model with '
        'num_clusters above 0 in some stage.'
      )

  def run(self, state: TrainState) -> dict[str, float]:
    maps = self._predict(state.eval_variables, self._batch)['cluster_maps']
    self._album.write(
      int(state.step),
      (
        (draw(image, {name: x[i] for name, x in maps.items()}), f'Image {i}')
        for i, image in enumerate(self._batch['image'])
      ),
    )
    results = {}
    for name, x in maps.items():
      won, effective = clusters_in_use(x)
      results[f'{name}_clusters'] = float(x.shape[1])
      results[f'{name}_clusters_that_win'] = won
      results[f'{name}_effective_clusters'] = effective
    return results


def clusters_in_use(assignment: np.ndarray) -> tuple[float, float]:
  """Counts clusters over images [B, M, H, W].

  Returns:
    How many win any patch, and exp(entropy) of the shares of patches won.
  """
  num_clusters = assignment.shape[1]
  winners = assignment.argmax(axis=1)
  shares = np.bincount(winners.ravel(), minlength=num_clusters) / winners.size
  won = shares[shares > 0]
  return float(len(won)), float(np.exp(-np.sum(won * np.log(won))))


def draw(image: np.ndarray, maps: dict[str, np.ndarray]) -> PIL.Image.Image:
  """One row a stage: image, all clusters, those that see the fewest patches.

  Args:
    image: [H, W, C] in any range, C 1 or 3.
    maps: stage -> assignment [M, h, w].
  """
  plain = pictures.tile(image)
  rows = []
  for stage, assignment in maps.items():
    row = [
      pictures.captioned(plain, stage.replace('_', ' ')),
      pictures.captioned(pictures.clusters(plain, assignment), 'all clusters'),
    ]
    seen = patches_seen(assignment)
    for cluster in np.argsort(seen, kind='stable')[:NUM_HEAT_MAPS]:
      row.append(
        pictures.captioned(
          pictures.heat(plain, assignment[cluster]),
          f'cluster {cluster}: {seen[cluster]:.1f}',
        )
      )
    rows.append(row)
  return pictures.grid(rows)


def patches_seen(assignment: np.ndarray) -> np.ndarray:
  """exp(entropy) of the weights of each cluster of [M, h, w]."""
  weights = assignment.reshape(len(assignment), -1)
  weights = weights / weights.sum(axis=1, keepdims=True)
  positive = np.maximum(weights, np.finfo(np.float32).tiny)
  return np.exp(-np.sum(weights * np.log(positive), axis=1))

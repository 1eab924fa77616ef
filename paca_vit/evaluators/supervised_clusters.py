"""Shows the clusters that the labels supervise beside the prediction.

`PacaHead` has a cluster for each class, whose logits an auxiliary loss trains
to be the class's. For each of a few images a picture: the image, its labels,
the prediction and the clusters (which of them has the largest logit at each
pixel); below, for the classes with most of the prediction, where their cluster
takes its patches from.

Shapes: H, W of an image, h, w of the head's map, K classes and clusters.
"""

import pathlib

import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
from jax.sharding import Mesh

from paca_vit import clustering
from paca_vit.tasks import segmentation
from perceiver_paca.ops import resize
from train_lib import metrics, pictures, pipeline, sharding
from train_lib.train_state import TrainState

NUM_CLASSES_SHOWN = 4
SIDE = 192  # pixels of a tile's longer side
TITLE = 'Prediction and the clusters that the labels supervise'
COMMENT = (
  'Above, at each pixel: the class, the predicted one, and the cluster with '
  'the largest logit. Below: where the clusters of the largest classes take '
  'their patches from.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: segmentation.Segmentation,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'SupervisedClusters':
  """Reads data, num_images and class_names, () for numbers."""
  chosen = pipeline.few_examples(config.data, config.num_images)
  names = config.class_names or range(task.num_classes)
  if len(names) != task.num_classes:
    raise ValueError(
      f'config.evals.<name>.class_names: expected {task.num_classes}, found '
      f'{len(names)}.'
    )
  return SupervisedClusters(task, chosen, mesh, folder, [str(x) for x in names])


class SupervisedClusters:
  """Writes `folder`/<step>_<image>.png; returns what both say on the labels.

  The metrics are the task's, of the images shown: prediction_mean_iou and so
  on, clusters_mean_iou and so on.
  """

  def __init__(
    self,
    task: segmentation.Segmentation,
    chosen: list[dict[str, np.ndarray]],
    mesh: Mesh,
    folder: pathlib.Path,
    class_names: list[str],
  ):
    self._examples, self._class_names = chosen, class_names
    self._album = pictures.Album(folder, TITLE, COMMENT)

    def predict(variables, example):
      """Maps of classes [H, W], assignment [K, h, w], metrics."""
      image, labels = example['image'], example['label']
      outputs = task.model.apply(variables, image[None], train=False)
      clusters = outputs.auxiliary_logits
      if clusters is None:
        raise ValueError(
          'supervised_clusters: expected config.model.decode_head.kind '
          "'PacaHead', found a head without clusters."
        )
      maps, found = {}, {}
      for name, x in (('prediction', outputs.logits), ('clusters', clusters)):
        x = resize.resize_bilinear(x, labels.shape)
        maps[name] = jnp.argmax(x, axis=-1)[0]
        found[name] = segmentation.make_metrics(
          maps[name][None], labels[None], jnp.ones(1), task.num_classes
        )
      weights = clustering.assign(clusters)[0]
      return maps, weights.reshape(-1, *clusters.shape[1:3]), found

    # Images of several sizes: one compilation each.
    self._predict = sharding.jit_everywhere(mesh, predict)

  def run(self, state: TrainState) -> dict[str, float]:
    total, shown = None, []
    for i, example in enumerate(self._examples):
      keys = {name: example[name] for name in ('image', 'label')}
      maps, weights, found = self._predict(state.eval_variables, keys)
      found = {
        f'{name}_{key}': metric
        for name, of_map in found.items()
        for key, metric in of_map.items()
      }
      total = metrics.merged(total, found)
      shown.append(
        (
          draw(example, maps, weights, self._class_names),
          f'Image {i}: pixel accuracy '
          f'{found["prediction_accuracy"].compute():.3f}, of the clusters '
          f'{found["clusters_accuracy"].compute():.3f}',
        )
      )
    self._album.write(int(state.step), shown)
    return metrics.computed(total)


def draw(
  example: dict[str, np.ndarray],
  maps: dict[str, np.ndarray],
  weights: np.ndarray,
  class_names: list[str],
) -> PIL.Image.Image:
  """Two rows: image, labels, prediction, clusters; the clusters' assignments.

  Below them the colours of the classes that are to be seen.

  Args:
    example: `image` [H, W, C] and `label` [H, W].
    maps: 'prediction' and 'clusters' -> classes [H, W].
    weights: assignment [K, h, w].
    class_names: K of them.
  """
  plain = pictures.tile(example['image'], SIDE)
  num_classes = len(class_names)
  first = [pictures.captioned(plain, 'image')] + [
    pictures.captioned(pictures.segments(plain, x, num_classes), name)
    for name, x in (
      ('labels', example['label']),
      ('prediction', maps['prediction']),
      ('clusters', maps['clusters']),
    )
  ]
  shares = np.bincount(maps['prediction'].ravel(), minlength=num_classes)
  largest = np.argsort(-shares, kind='stable')[:NUM_CLASSES_SHOWN]
  second = [
    pictures.captioned(
      pictures.heat(plain, weights[c]), f'cluster of {class_names[c]}'
    )
    for c in largest
  ]
  known = np.unique([*maps.values(), example['label']])
  shown = known[(known >= 0) & (known < num_classes)]
  colors = pictures.palette(num_classes)[shown]
  legend = pictures.legend(colors, [class_names[c] for c in shown])
  return pictures.stacked([pictures.grid([first, second]), legend])

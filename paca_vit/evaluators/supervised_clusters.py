"""Shows the clusters that the labels supervise beside the prediction.

`PacaHead` has a cluster for each class, whose logits an auxiliary loss trains
to be the class's. For each of a few images a picture: the image, its labels,
the prediction and the clusters (which of them has the largest logit at each
pixel); below, for the classes with most of the prediction, where their cluster
takes its patches from.

Shapes: H, W of an image, h, w of the head's map, K classes and clusters.
"""

import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
from jax.sharding import Mesh

from paca_vit import clustering
from paca_vit.tasks import segmentation
from perceiver_paca.ops import resize
from train_lib import pictures, pipeline, sharding, writer
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
  workdir: str,
) -> 'SupervisedClusters':
  """Reads data, num_images and class_names, () for numbers."""
  chosen = pipeline.few_examples(config.data, config.num_images)
  names = config.class_names or range(task.num_classes)
  if len(names) != task.num_classes:
    raise ValueError(
      f'config.evals.<name>.class_names: expected {task.num_classes}, found '
      f'{len(names)}.'
    )
  folder = pathlib.Path(workdir) / 'segmentation'
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
    everywhere = sharding.replicated(mesh)
    self._examples, self._class_names = chosen, class_names
    self._place = lambda x: jax.device_put(x, everywhere)
    self._folder = folder

    def predict(variables, image, labels):
      """One example: maps of classes [H, W], assignment [K, h, w], metrics."""
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
    self._predict = jax.jit(
      sharding.on_mesh(mesh, predict), out_shardings=everywhere
    )

  def run(self, state: TrainState) -> dict[str, float]:
    totals = {}
    for i, example in enumerate(self._examples):
      maps, weights, found = jax.tree.map(
        np.asarray,
        self._predict(
          state.eval_variables,
          self._place(example['image']),
          self._place(example['label']),
        ),
      )
      for name, metrics in found.items():
        for key, metric in metrics.items():
          key = f'{name}_{key}'
          total = totals.get(key)
          totals[key] = metric if total is None else total.merge(metric)
      if jax.process_index() == 0:
        pictures.save(
          draw(example, maps, weights, self._class_names),
          self._folder / f'{int(state.step):07d}_{i}.png',
          title=TITLE,
          comment=COMMENT,
          description=f'Image {i}: pixel accuracy '
          f'{found["prediction"]["accuracy"].compute():.3f}, of the clusters '
          f'{found["clusters"]["accuracy"].compute():.3f}',
        )
    writer.say(f'{len(self._examples)} segmentations in {self._folder}')
    return {name: metric.compute() for name, metric in totals.items()}


def draw(
  example: dict[str, np.ndarray],
  maps: dict[str, np.ndarray],
  weights: np.ndarray,
  class_names: list[str],
) -> PIL.Image.Image:
  """Two rows: image, labels, prediction, clusters; the clusters' assignments.

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
  return pictures.grid([first, second])

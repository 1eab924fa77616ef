"""What clusters know of labels: mutual information, by stage.

A patch belongs to the cluster whose weight on it is the largest, and has the
label of most of its pixels; those labelled 0, outside, do not count. The
information that cluster and label share is of all patches of all images
together, so that a cluster must mean the same in every image, and a share of
the labels' entropy. Beside it stand the same clusters dealt to other patches of
their image, and a network of the same sizes before it was trained.
"""

import jax
import ml_collections
import numpy as np

from train_lib import pipeline, setup
from train_lib.train_state import TrainState


def information(clusters: np.ndarray, labels: np.ndarray) -> float:
  """Mutual information over the labels' entropy, of integers [N] and [N]."""
  table = np.zeros((clusters.max() + 1, labels.max() + 1))
  np.add.at(table, (clusters, labels), 1)
  joint = table / table.sum()
  of_clusters, of_labels = joint.sum(1), joint.sum(0)
  return 1 - (_entropy(joint) - _entropy(of_clusters)) / _entropy(of_labels)


def _entropy(probabilities: np.ndarray) -> float:
  p = probabilities[probabilities > 0]
  return float(-np.sum(p * np.log2(p)))


def majority(labels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
  """The most frequent label [h, w] of each part of labels [H, W].

  Parts are squares; the last ones go on as the rim ends.
  """
  side = -(-labels.shape[0] // grid[0])
  missing = ((0, side * m - n) for n, m in zip(labels.shape, grid, strict=True))
  labels = np.pad(labels, tuple(missing), mode='edge')
  parts = labels.reshape(grid[0], side, grid[1], side)
  counts = [(parts == c).sum((1, 3)) for c in range(int(labels.max()) + 1)]
  return np.argmax(counts, axis=0)


def of_labels(
  config: ml_collections.ConfigDict, state: TrainState
) -> dict[str, float]:
  """Of a segmenter's clusters and the labels of the test split's pixels.

  Args:
    config: of a run of `paca_vit.tasks.segmentation` with an evaluation `test`.
    state: after it.
  """
  run = setup.make_setup(config)
  data = pipeline.inherited(config.data, config.evals.test.data)
  examples = list(pipeline.each_example(data))
  rng = np.random.default_rng(0)
  found = {}
  for name, variables in (
    ('trained', state.eval_variables),
    ('untrained', run.init().eval_variables),
  ):
    patches = _patches(run.task.model, variables, examples)
    for stage, (clusters, labels) in patches.items():
      labels = np.concatenate(labels)
      inside = labels > 0

      def share(clusters, labels=labels, inside=inside):
        return information(np.concatenate(clusters)[inside], labels[inside])

      found[f'{stage}, {name}'] = share(clusters)
      if name == 'trained':
        dealt = [rng.permutation(x) for x in clusters]
        found[f'{stage}, dealt at random'] = share(dealt)
  return found


def _patches(model, variables, examples):
  """stage -> lists, of each image's patches the clusters and the labels."""

  @jax.jit
  def assignments(variables, image):
    features = model.apply(
      variables,
      image,
      False,
      method=lambda model, *args: model.backbone(*args),
    )
    return features.cluster_maps()

  by_stage = {}
  for example in examples:
    maps = jax.device_get(assignments(variables, example['image'][None]))
    for stage, weights in maps.items():
      clusters = np.argmax(weights[0], axis=0)
      labels = majority(example['label'], clusters.shape)
      known = by_stage.setdefault(stage, ([], []))
      known[0].append(clusters.ravel())
      known[1].append(labels.ravel())
  return by_stage

"""Shows which clusters carried a classifier's decision.

For each of a few images a picture, a row a stage: the image; how much each
patch says for the predicted class through all clusters, for in red, against in
blue; and the clusters of the largest relevance (`paca_vit.relevance`). Each
map is relevance times assignment, in the colours of one scale a row.

That the relevant clusters matter is measured, too: the probability of the
predicted class, that without the most relevant quarter of each stage's
clusters, and that without as many random ones.

Shapes: B batch, M clusters, H, W of a stage's map, K classes.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
from jax.sharding import Mesh

from data.images import folder_examples
from paca_vit import relevance
from paca_vit.tasks.classification import Classification
from train_lib import pictures, sharding
from train_lib.train_state import TrainState

NUM_CLUSTERS = 4
TITLE = 'Which clusters carried the decision'
COMMENT = (
  'For each stage what all clusters together, and the most relevant ones, say '
  'for the predicted class: red for it, blue against it. The numbers are what '
  'they add to its logit, to first order.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Classification,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'DecidingClusters':
  """Reads data, image_folder ('' for the data set's images), num_images."""
  batch = folder_examples.load(config)
  return DecidingClusters(task, batch, mesh, folder)


class DecidingClusters:
  """Writes `folder`/<step>_<image>.png."""

  def __init__(
    self, task: Classification, batch: Any, mesh: Mesh, folder: pathlib.Path
  ):
    self._batch = batch
    self._album = pictures.Album(folder, TITLE, COMMENT)

    def explain(variables, images):
      logits = task.model.apply(variables, images, train=False)
      classes = jnp.argmax(logits, axis=-1)
      found, assignments = relevance.cluster_relevance(
        task.model, variables, images, classes
      )
      if not found:
        raise ValueError(
          'deciding_clusters: expected a PaCa model with num_clusters above 0 '
          'in some stage, found none.'
        )

      def probability_without(scores):
        scales = {name: keep_lowest(x) for name, x in scores.items()}
        logits, _ = relevance.apply_scaled(
          task.model, variables, images, scales
        )
        return probability_of(logits, classes)

      rngs = jax.random.split(jax.random.key(0), len(found))
      random = {
        name: jax.random.uniform(rng, found[name].shape)
        for name, rng in zip(found, rngs, strict=True)
      }
      probabilities = {
        'probability': probability_of(logits, classes),
        'probability_without_relevant': probability_without(found),
        'probability_without_random': probability_without(random),
      }
      return classes, probabilities, found, assignments

    self._explain = sharding.jit_everywhere(mesh, explain)

  def run(self, state: TrainState) -> dict[str, float]:
    classes, probabilities, found, assignments = self._explain(
      state.eval_variables, self._batch['image']
    )

    def drawn(i):
      maps = ({k: v[i] for k, v in x.items()} for x in (found, assignments))
      return draw(self._batch['image'][i], *maps), (
        f'Image {i}: label {int(self._batch["label"][i])}, predicted '
        f'{classes[i]} with probability {probabilities["probability"][i]:.2f}'
      )

    self._album.write(int(state.step), map(drawn, range(len(classes))))
    return {name: float(x.mean()) for name, x in probabilities.items()}


def keep_lowest(scores: jax.Array) -> jax.Array:
  """[B, M]: 0 for the quarter with the highest scores, else 1."""
  num_dropped = max(1, scores.shape[1] // 4)
  ranks = jnp.argsort(jnp.argsort(-scores, axis=1), axis=1)
  return (ranks >= num_dropped).astype(scores.dtype)


def probability_of(logits: jax.Array, classes: jax.Array) -> jax.Array:
  """[B] of logits [B, K] and classes [B]."""
  return jnp.take_along_axis(jax.nn.softmax(logits), classes[:, None], 1)[:, 0]


def draw(
  image: np.ndarray,
  found: dict[str, np.ndarray],
  assignments: dict[str, np.ndarray],
) -> PIL.Image.Image:
  """One row an assignment: image, all clusters, the most relevant ones.

  Args:
    image: [H, W, C] in any range, C 1 or 3.
    found: name of an assignment -> relevance [M].
    assignments: name -> [M, h, w].
  """
  plain = pictures.tile(image)
  rows = []
  for name, scores in found.items():
    maps = scores[:, None, None] * assignments[name]
    total = maps.sum(axis=0)
    row = [
      pictures.captioned(plain, name.replace('_', ' ')),
      pictures.captioned(
        pictures.signed_heat(plain, total, np.abs(total).max()),
        f'all clusters: {scores.sum():+.2f}',
      ),
    ]
    chosen = np.argsort(-np.abs(scores), kind='stable')[:NUM_CLUSTERS]
    largest = np.abs(maps[chosen]).max()
    row += [
      pictures.captioned(
        pictures.signed_heat(plain, maps[m], largest),
        f'cluster {m}: {scores[m]:+.2f}',
      )
      for m in chosen
    ]
    rows.append(row)
  return pictures.grid(rows)

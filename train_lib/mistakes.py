"""An evaluator of classifiers: which class is taken for which, and what is not
recognised.

For any task whose `predict` returns `logits`. Two pictures: the confusion
matrix, and the examples of which a wrong prediction is the surest.

Shapes: B batch, K classes.
"""

import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
from jax.sharding import Mesh

from train_lib import in_parts, pictures, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

_COLUMNS = 6
_MAX_NUMBERS = 20  # classes up to which the matrix shows numbers
TITLE = 'What is taken for what'
COMMENT = (
  'Confusion matrix: a row is a true class, a column a predicted one, the '
  'colour its share of the row. Below, the mistakes that are made with the '
  'greatest probability: true class, predicted class, its probability.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'Mistakes':
  """Reads data, with a batch_size, and num_shown, how many mistakes to draw."""
  return Mistakes(
    task,
    mesh,
    pipeline.make_eval_batches(
      config.data, sharding=sharding.batch_sharding(mesh)
    ),
    pipeline.eval_examples(config.data),
    config.num_shown,
    folder,
  )


class Mistakes:
  """Writes `folder`/<step>_0.png, the matrix, and _1.png, the mistakes."""

  def __init__(
    self,
    task: Task,
    mesh: Mesh,
    batches: pipeline.EvalBatches,
    examples,
    num_shown: int,
    folder: pathlib.Path,
  ):
    self._batches, self._examples = batches, examples
    self._num_shown = num_shown
    self._album = pictures.Album(folder, TITLE, COMMENT)

    def predict(variables, batch):
      logits = task.predict(variables, batch)['logits']
      return jax.nn.softmax(logits), batch['label'], jnp.asarray(batch['mask'])

    self._predict = in_parts.InParts(mesh, predict)

  def run(self, state: TrainState) -> dict[str, float]:
    probabilities, labels, mask = in_parts.joined(
      part
      for batch in self._batches
      for part in self._predict(state.eval_variables, batch)
    )
    # Only the end of the last batch is filled up, so that rows are indices.
    probabilities, labels = probabilities[mask > 0], labels[mask > 0]
    matrix = confusion(probabilities, labels)
    wrong = surest_mistakes(probabilities, labels)
    self._album.write(
      int(state.step), self._pictures(matrix, wrong, probabilities, labels)
    )
    return {
      'mistakes': float(len(wrong)),
      'examples': float(len(labels)),
      # What always the same answer would reach.
      'most_frequent_class': float(matrix.sum(axis=1).max() / len(labels)),
    }

  def _pictures(self, matrix, wrong, probabilities, labels):
    yield draw_matrix(matrix), f'{len(wrong)} of {len(labels)} are wrong'
    shown = wrong[: self._num_shown]
    if len(shown):
      images = [self._examples[int(i)]['image'] for i in shown]
      picture = draw_mistakes(images, probabilities[shown], labels[shown])
      yield picture, f'The {len(shown)} surest of {len(wrong)} mistakes'


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Counts, integers [K, K], by true and by predicted class.

  Args:
    probabilities: [B, K].
    labels: integers [B].
  """
  num_classes = probabilities.shape[1]
  pairs = labels * num_classes + probabilities.argmax(axis=1)
  counts = np.bincount(pairs, minlength=num_classes**2)
  return counts.reshape(num_classes, num_classes)


def surest_mistakes(
  probabilities: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """Rows that are wrong, of the greatest probability first."""
  wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
  order = np.argsort(-probabilities[wrong].max(axis=1), kind='stable')
  return wrong[order]


def draw_matrix(matrix: np.ndarray) -> PIL.Image.Image:
  """Of counts [K, K]; with numbers where there are few classes."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6, 5.5), layout='constrained')
  axis = figure.subplots()
  share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  shown = axis.imshow(share, 'Blues', vmin=0, vmax=1)
  figure.colorbar(shown, label='share of the true class')
  axis.set_xlabel('predicted class')
  axis.set_ylabel('true class')
  if len(matrix) <= _MAX_NUMBERS:
    axis.set_xticks(range(len(matrix)))
    axis.set_yticks(range(len(matrix)))
    for (row, column), count in np.ndenumerate(matrix):
      if count:
        color = 'white' if share[row, column] > 0.5 else 'black'
        axis.text(column, row, count, ha='center', va='center', color=color)
  return pictures.of_figure(figure)


def draw_mistakes(
  images, probabilities: np.ndarray, labels: np.ndarray
) -> PIL.Image.Image:
  """A grid of the images [H, W, C], under what they are and are taken for."""
  tiles = []
  for image, chances, label in zip(images, probabilities, labels, strict=True):
    caption = f'{label} as {chances.argmax()}: {chances.max():.0%}'
    tiles.append(pictures.captioned(pictures.tile(image), caption))
  rows = [tiles[i : i + _COLUMNS] for i in range(0, len(tiles), _COLUMNS)]
  return pictures.grid(rows)

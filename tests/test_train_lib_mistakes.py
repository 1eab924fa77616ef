"""The matrix and the mistakes are those of the predictions, none twice."""

import types

import jax
import ml_collections
import numpy as np
import PIL.Image

from configs import common
from train_lib import mistakes, pictures, sharding

PROBABILITIES = np.array(
  [[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.0, 0.1, 0.9]]
)
LABELS = np.array([0, 1, 1, 0])


def test_rows_are_true_and_columns_predicted_classes():
  matrix = mistakes.confusion(PROBABILITIES, LABELS)
  np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 1, 1], [0, 0, 0]])


def test_the_surest_mistake_is_first():
  rows = mistakes.surest_mistakes(PROBABILITIES, LABELS)
  np.testing.assert_array_equal(rows, [3, 1])


def test_evaluator_counts_every_example_once(tmp_path):
  """On eight devices, whose last batch is filled up."""
  guess = 3
  data = ml_collections.ConfigDict(
    common.data('data.images.mnist5k', split='test', batch_size=16)
  )
  data.source = 'synthetic'  # 256 examples, labels 0 to 9 in turn
  data.batch_size = 24

  def predict(variables, batch):
    del variables
    shape = len(batch['label']), 10
    return {'logits': jax.numpy.zeros(shape).at[:, guess].set(2.0)}

  evaluator = mistakes.make_evaluator(
    ml_collections.ConfigDict(dict(data=data, num_shown=8)),
    task=types.SimpleNamespace(predict=predict),
    mesh=sharding.make_mesh(dict(data=-1)),
    folder=tmp_path,
  )
  state = types.SimpleNamespace(eval_variables={}, step=5)
  assert evaluator.run(state) == {
    'mistakes': 256 - 26,
    'examples': 256,
    'most_frequent_class': 26 / 256,
  }
  matrix, wrong = pictures.by_step(tmp_path)[5]
  assert pictures.texts(matrix)['Description'] == '230 of 256 are wrong'
  tiles = PIL.Image.open(wrong)
  assert tiles.width > tiles.height  # six beside each other, two below

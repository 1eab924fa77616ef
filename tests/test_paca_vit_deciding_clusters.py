"""Pictures of decisions, and what is measured beside them."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import PIL.Image
import pytest

from configs import common
from configs.paca_vit import models
from paca_vit import classifier
from paca_vit.evaluators import deciding_clusters
from paca_vit.tasks import classification
from tests import golden_paca
from train_lib import labels, pictures, train_state


def evaluator(num_clusters, workdir):
  model_config = models.model('demo')
  model_config.update(channels=(8,), depths=(1,), num_heads=(2,))
  model_config.num_clusters = (num_clusters,)
  config = ml_collections.ConfigDict(
    dict(
      data=common.data('data.images.mnist5k', 'test', 1),
      image_folder='',
      num_images=3,
    )
  )
  config.data.source = 'synthetic'
  task = classification.Classification(
    classifier.make_classifier(model_config), labels.Classes(10), None
  )
  variables = golden_paca.random_variables(golden_paca.shapes_of(task.model))
  state = train_state.TrainState(jnp.int32(7), variables['params'], {}, ())
  mesh = jax.sharding.Mesh(jax.devices()[:1], ('data',))
  return (
    task,
    state,
    deciding_clusters.make_evaluator(
      config, task=task, mesh=mesh, folder=workdir / 'decisions'
    ),
  )


@pytest.mark.full
def test_writes_a_picture_an_image_and_probabilities(tmp_path):
  task, state, decisions = evaluator(5, tmp_path)
  results = decisions.run(state)
  logits = golden_paca.jit(task.predict)(
    state.eval_variables, decisions._batch
  )['logits']
  best = jax.nn.softmax(logits).max(axis=-1)
  np.testing.assert_allclose(results['probability'], best.mean(), rtol=1e-5)
  assert len(set(results.values())) == 3
  paths = sorted((tmp_path / 'decisions').iterdir())
  assert [p.name for p in paths] == [f'0000007_{i}.png' for i in range(3)]
  for path, p, x in zip(paths, best, logits, strict=True):
    info = PIL.Image.open(path).info
    assert info['Title'] == deciding_clusters.TITLE
    assert (
      f'predicted {x.argmax()} with probability {p:.2f}'
      in (info['Description'])
    )


def test_a_model_without_clusters_is_named(tmp_path):
  _, state, decisions = evaluator(0, tmp_path)
  with pytest.raises(ValueError, match='num_clusters above 0.*found none'):
    decisions.run(state)


def test_the_most_relevant_quarter_is_dropped():
  scores = jnp.array([[0.1, 3.0, -5.0, 2.0, 0, 0, 0, 0], [9.0, *range(7)]])
  kept = deciding_clusters.keep_lowest(scores)
  np.testing.assert_array_equal(np.flatnonzero(kept[0] == 0), [1, 3])
  np.testing.assert_array_equal(np.flatnonzero(kept[1] == 0), [0, 7])
  few = deciding_clusters.keep_lowest(jnp.array([[1.0, 2.0]]))
  np.testing.assert_array_equal(few, [[1, 0]])


def test_what_speaks_for_is_red_and_against_blue():
  image = np.zeros((28, 28, 1))
  half = np.zeros((4, 4))
  half[:, :2] = 1 / 8
  picture = deciding_clusters.draw(
    image,
    {'stage_1': np.array([2.0, -1.0])},
    {'stage_1': np.stack([half, half[:, ::-1]])},
  )
  pixels = np.asarray(picture).astype(int)
  side = pictures.tile(image).shape[0]
  middle = pixels.shape[0] // 2

  def color(tile, share):  # at a share of the tile's width
    return pixels[middle, round(2 + tile * (side + 4) + share * side)]

  assert np.ptp(color(0, 0.2)) == 0
  for tile in (1, 2):  # all clusters, the most relevant one
    red, _, blue = color(tile, 0.2)
    assert red > 200 and blue < 100
  for tile in (1, 3):
    red, _, blue = color(tile, 0.8)
    assert blue > 100 > red
  assert color(3, 0.8)[2] < color(2, 0.2)[0]  # one scale a row

"""Centroids that k-means starts: of patches, of a model, of a run."""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import mnist5k, models
from paca_vit import classifier, clustering, kmeans
from tests import golden_paca
from train_lib import setup


def patches(*shape):
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_kmeans_finds_separate_clusters():
  centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
  features = (centres[:, None] + 0.1 * patches(3, 50, 2)).reshape(150, 2)
  # One start may share a cluster between two centroids: take the best of few.
  best = min(
    (
      kmeans.centroids_of(jnp.asarray(features), 3, key, 10)
      for key in jax.random.split(jax.random.key(0), 5)
    ),
    key=lambda found: np.square(features[:, None] - found).sum(-1).min(1).sum(),
  )
  best = np.asarray(best)[np.lexsort((best[:, 1] > 5, best[:, 0] > 5))]
  want = features.reshape(3, 50, 2).mean(1)[[0, 2, 1]]
  np.testing.assert_allclose(best, want, atol=1e-4)


def test_kmeans_never_gets_worse_and_keeps_idle_centroids():
  features = jnp.asarray(np.repeat(patches(4, 3), 10, axis=0))
  losses = []
  for steps in range(4):
    found = kmeans.centroids_of(features, 8, jax.random.key(1), steps)
    assert np.isfinite(found).all()
    losses.append(
      float(np.square(features[:, None] - found).sum(-1).min(1).mean())
    )
  assert losses == sorted(losses, reverse=True)


def test_kmeans_refuses_more_clusters_than_patches():
  with pytest.raises(ValueError, match='at least 3 patches'):
    kmeans.centroids_of(jnp.ones((2, 4)), 3, jax.random.key(0), 1)


@pytest.mark.full
def test_kmeans_centroids_start_a_whole_model():
  """Centroids are means of the patches that the *new* model sees."""
  config = models.model('demo')
  config.update(
    clustering=dict(kind='CentroidClustering', kmeans_init=True),
    channels=(8, 16),
    depths=(1, 1),
  )
  del config.clustering['kernel_size']
  model = classifier.make_classifier(config)
  images = patches(4, 28, 28, 1)

  @jax.jit
  def start(rng):
    before = model.init(rng, images, train=False)
    return before, kmeans.with_kmeans_centroids(
      model, before, images, rng, num_iterations=50
    )

  before, after = start(jax.random.key(0))
  assert jax.tree.structure(before) == jax.tree.structure(after)

  def record(next_method, args, kwargs, context):
    if isinstance(context.module, clustering.CentroidClustering):
      seen[context.module.path] = args[0].reshape(-1, args[0].shape[-1])
    return next_method(*args, **kwargs)

  @jax.jit
  def features_seen(variables):
    seen.clear()
    with nn.intercept_methods(record):
      model.apply(variables, images, train=False)
    return dict(seen)

  seen = {}
  seen = features_seen(after)
  assert len(seen) == 2
  for path, features in seen.items():
    params = after['params']
    for name in path:
      params = params[name]
    centroids = params['centroids']
    nearest = jnp.argmin(
      jnp.sum((features[:, None] - centroids) ** 2, -1), axis=1
    )
    for i in range(len(centroids)):
      mean = features[nearest == i].mean(0)
      np.testing.assert_allclose(centroids[i], mean, atol=1e-3)


def test_kmeans_centroids_need_a_model_that_has_any():
  class Plain(nn.Module):
    def __call__(self, images, train):
      return images

  with pytest.raises(ValueError, match='found none'):
    kmeans.with_kmeans_centroids(
      Plain(), {}, patches(1, 2, 2, 1), jax.random.key(1)
    )


def test_a_run_starts_with_kmeans_on_its_first_batch():
  """On any mesh; the first batch is trained on all the same."""
  config = mnist5k.get_config('kmeans')
  config.data.update(source='synthetic', batch_size=8)
  config.model.update(channels=(8,), depths=(1,), num_heads=(2,))
  config.model.num_clusters = (4,)
  run = setup.make_setup(config)
  new = run.init()
  state = setup.started(run, new, config.seed)
  batch = next(run.batches)
  assert run.batches.get_state()['next_batch'] == 1

  variables = {'params': jax.device_get(new.params)}
  wanted = golden_paca.jit(
    lambda *args: kmeans.with_kmeans_centroids(run.task.model, *args)
  )(variables, np.asarray(batch['image']), jax.random.key(config.seed))
  found = jax.device_get(state.params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    found,
    wanted['params'],
  )
  before = flax.traverse_util.flatten_dict(variables['params'])
  for name, x in flax.traverse_util.flatten_dict(found).items():
    assert (x != before[name]).any() == (name[-1] == 'centroids')


def test_without_the_option_nothing_starts():
  config = mnist5k.get_config('tiny')
  config.data.source = 'synthetic'
  run = setup.make_setup(config)
  assert run.task.start is None
  assert setup.started(run, run.state, config.seed) is run.state

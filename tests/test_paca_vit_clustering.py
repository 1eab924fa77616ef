"""Assignments, the clusterings that no golden covers, k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit import clustering
from tests import golden_paca


def patches(*shape):
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_assignment_is_a_softmax_over_the_patches_row_by_row():
  logits = patches(2, 3, 4, 5)
  assignment = clustering.assign(jnp.asarray(logits))
  weights = np.exp(logits) / np.exp(logits).sum((1, 2), keepdims=True)
  assert assignment.shape == (2, 5, 12)
  np.testing.assert_allclose(
    assignment[1, 3], weights[1, :, :, 3].ravel(), rtol=1e-5
  )


@pytest.mark.parametrize(
  'module, local',
  [
    (clustering.ConvClustering(6, kernel_size=3), False),
    (clustering.MlpClustering(6), True),
    (clustering.LinearClustering(6), True),
    (clustering.CentroidClustering(6), True),
  ],
)
def test_which_patches_a_logit_depends_on(module, local):
  x = patches(1, 5, 5, 4)
  variables = module.init(jax.random.key(0), x)
  assert module.apply(variables, x).shape == (1, 5, 5, 6)
  centre = jax.grad(lambda x: module.apply(variables, x)[0, 2, 2].sum())(x)
  seen = np.abs(centre[0]).sum(-1) > 0
  want = np.zeros((5, 5), bool)
  want[2, 2] = True
  if not local:
    want[1:4, 1:4] = True
  np.testing.assert_array_equal(seen, want)


def test_linear_clustering_is_one_matrix():
  x = patches(1, 2, 2, 3)
  module = clustering.LinearClustering(5)
  params = module.init(jax.random.key(0), x)['params']
  (kernel,) = jax.tree.leaves(params)
  np.testing.assert_allclose(
    module.apply({'params': params}, x), x @ kernel, atol=1e-6
  )


def test_centroid_logits_are_negative_distances():
  x = patches(1, 2, 3, 4)
  centroids = patches(5, 4)
  logits = clustering.CentroidClustering(5).apply(
    {'params': {'centroids': centroids}}, x
  )
  distances = ((x[..., None, :] - centroids) ** 2).sum(-1)
  np.testing.assert_allclose(logits, -distances / 2, rtol=1e-4, atol=1e-5)


def test_kmeans_finds_separate_clusters():
  centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
  features = (centres[:, None] + 0.1 * patches(3, 50, 2)).reshape(150, 2)
  # One start may share a cluster between two centroids: take the best of few.
  best = min(
    (
      clustering.kmeans_centroids(jnp.asarray(features), 3, key, 10)
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
    found = clustering.kmeans_centroids(features, 8, jax.random.key(1), steps)
    assert np.isfinite(found).all()
    losses.append(
      float(np.square(features[:, None] - found).sum(-1).min(1).mean())
    )
  assert losses == sorted(losses, reverse=True)


def test_kmeans_refuses_more_clusters_than_patches():
  with pytest.raises(ValueError, match='at least 3 patches'):
    clustering.kmeans_centroids(jnp.ones((2, 4)), 3, jax.random.key(0), 1)


def test_teacher_gives_no_assignment_where_there_are_no_clusters():
  # The authors' code shifts the later ones (and crashes) in this case.
  teacher = clustering.ClusteringTeacher(
    channels=(4, 6, 8), depths=(1, 1, 1), num_clusters=(5, 0, 3), kernel_size=3
  )
  x = patches(2, 5, 6, 4)
  features, assignments = golden_paca.jit(
    lambda x: teacher.init_with_output(jax.random.key(0), x, False)[0]
  )(x)
  assert [f.shape for f in features] == [
    (2, 5, 6, 4),
    (2, 3, 3, 6),
    (2, 2, 2, 8),
  ]
  assert assignments[0].shape == (2, 5, 30)
  assert assignments[1] is None
  assert assignments[2].shape == (2, 3, 4)

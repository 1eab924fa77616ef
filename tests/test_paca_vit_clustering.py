"""Assignments, the clusterings that no golden covers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit import clustering


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


def test_teacher_gives_no_assignment_where_there_are_no_clusters():
  # The authors' code shifts the later ones (and crashes) in this case.
  teacher = clustering.ClusteringTeacher(
    channels=(4, 6, 8), depths=(1, 1, 1), num_clusters=(5, 0, 3), kernel_size=3
  )
  x = patches(2, 5, 6, 4)
  features, assignments = jax.eval_shape(
    lambda x: teacher.init_with_output(jax.random.key(0), x, False)[0], x
  )
  assert [f.shape for f in features] == [
    (2, 5, 6, 4),
    (2, 3, 3, 6),
    (2, 2, 2, 8),
  ]
  assert assignments[0].shape == (2, 5, 30)
  assert assignments[1] is None
  assert assignments[2].shape == (2, 3, 4)

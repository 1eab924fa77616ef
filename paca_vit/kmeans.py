"""Centroid clustering that starts with k-means: `clustering.kmeans_init`.

Shapes: B batch, H height, W width, N patches, M clusters, C channels.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp

from paca_vit import clustering

PyTree = Any


def make_start(
  config: Mapping[str, Any], model: nn.Module
) -> Callable[[PyTree, PyTree, jax.Array], PyTree] | None:
  """What a PaCa task's `start` is (`train_lib.task.Task`).

  Args:
    config: the model section; kmeans_init of its `clustering` switches it on.
    model: called as model(images, train=False).
  """
  if not config['clustering'].get('kmeans_init', False):
    return None

  def start(variables, batch, rng):
    return with_kmeans_centroids(model, variables, batch['image'], rng)

  return start


def with_kmeans_centroids(
  model: nn.Module,
  variables: PyTree,
  images: jax.Array,
  rng: jax.Array,
  num_iterations: int = 10,
) -> PyTree:
  """Starts all centroids of a model with k-means on a batch's patches.

  Each `CentroidClustering` that says so clusters the patches that reach it,
  those before it having their new centroids already.

  Args:
    model: called as model(images, train=False).
    variables: of the model.
    images: [B, H, W, C] of its inputs.
    rng: draws the patches that k-means begins with.
    num_iterations: of k-means.

  Returns:
    The variables with other centroids.

  Raises:
    ValueError: if the model has no such clustering, or a stage has fewer
      patches in the batch than clusters.
  """
  found = {}

  def intercept(next_method, args, kwargs, context):
    module = context.module
    if not getattr(module, 'kmeans_init', False):
      return next_method(*args, **kwargs)
    (patches,) = args
    centroids = centroids_of(
      patches.reshape(-1, patches.shape[-1]),
      module.num_clusters,
      jax.random.fold_in(rng, len(found)),
      num_iterations,
    )
    found['params', *module.path, 'centroids'] = centroids
    return clustering.centroid_logits(patches, centroids)

  with nn.intercept_methods(intercept):
    model.apply(variables, images, train=False)
  if not found:
    raise ValueError(
      'config.model.clustering.kmeans_init: expected some CentroidClustering '
      'in the model, found none.'
    )
  flat = flax.traverse_util.flatten_dict(variables)
  return flax.traverse_util.unflatten_dict(flat | found)


def centroids_of(
  features: jax.Array, num_clusters: int, rng: jax.Array, num_iterations: int
) -> jax.Array:
  """Lloyd's k-means on patch features, to start a `CentroidClustering` with.

  Args:
    features: [N, C] patches, e.g. of one batch, as the clustering sees them.
    num_clusters: M, at most N.
    rng: draws the M patches to start from.
    num_iterations: updates of all centroids.

  Returns:
    centroids [M, C]. One that attracts no patch stays where it was.

  Raises:
    ValueError: if there are fewer patches than clusters.
  """
  if features.ndim != 2 or len(features) < num_clusters:
    raise ValueError(
      'features: expected features [N, C] of at least '
      f'{num_clusters} patches, found {features.shape}.'
    )

  def update(_, centroids):
    distances = clustering.squared_distances(features, centroids)
    nearest = jnp.argmin(distances, axis=-1)
    members = jax.nn.one_hot(nearest, num_clusters, dtype=features.dtype)
    count = members.sum(0)[:, None]
    mean = members.T @ features / jnp.maximum(count, 1)
    return jnp.where(count > 0, mean, centroids)

  start = jax.random.choice(
    rng, features, (num_clusters,), replace=False, axis=0
  )
  return jax.lax.fori_loop(0, num_iterations, update, start)

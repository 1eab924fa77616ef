"""How patches are assigned to clusters.

A clustering maps a feature map to *logits*; their softmax over the patches is
the cluster assignment: each cluster's weights sum to 1 over the image
(PaCa-ViT, arXiv 2203.11987, section 3.2). Most are modules inside a block and
see its normalised patches; `ClusteringTeacher` is a network beside the
backbone that clusters for all of its stages.

Shapes: B batch, H height, W width, N = H W patches, M clusters, C channels.
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from paca_vit import layers
from perceiver_paca.ops import depthwise_conv, resize

PyTree = Any


def assign(logits: jax.Array) -> jax.Array:
  """Softmax over the patches: logits [B, ..., M] to assignment [B, M, N]."""
  wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  wide = wide.reshape(len(wide), -1, wide.shape[-1]).swapaxes(1, 2)
  return jax.nn.softmax(wide).astype(logits.dtype)


class ConvClustering(nn.Module):
  """Depth-wise k x k, 1x1, 1x1 without bias; GELU between: the default."""

  num_clusters: int
  kernel_size: int = 7
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, patches: jax.Array) -> jax.Array:
    """Maps patches [B, H, W, C] to logits [B, H, W, M]."""
    x = layers.DepthwiseConv(self.kernel_size, self.dtype, name='spatial')(
      patches
    )
    x = layers.Conv1x1(patches.shape[-1], dtype=self.dtype, name='mix')(
      layers.gelu(x)
    )
    return layers.Conv1x1(
      self.num_clusters, use_bias=False, dtype=self.dtype, name='to_clusters'
    )(layers.gelu(x))


class MlpClustering(nn.Module):
  """Two linear layers with a GELU between, on each patch alone."""

  num_clusters: int
  mlp_ratio: float = 4.0
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, patches: jax.Array) -> jax.Array:
    """Maps patches [B, H, W, C] to logits [B, H, W, M]."""
    hidden = int(patches.shape[-1] * self.mlp_ratio)
    x = layers.Linear(hidden, dtype=self.dtype, name='fc1')(patches)
    return layers.Linear(self.num_clusters, dtype=self.dtype, name='fc2')(
      layers.gelu(x)
    )


class LinearClustering(nn.Module):
  """One linear layer without bias, on each patch alone."""

  num_clusters: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, patches: jax.Array) -> jax.Array:
    """Maps patches [B, H, W, C] to logits [B, H, W, M]."""
    return layers.Linear(
      self.num_clusters, use_bias=False, dtype=self.dtype, name='fc'
    )(patches)


class CentroidClustering(nn.Module):
  """Soft k-means: logits are -|patch - centroid|^2 / sqrt(C).

  The centroids [M, C] are learned; `with_kmeans_centroids` starts them.
  Not in the paper: the clustering that it replaces by a learned one.
  """

  num_clusters: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, patches: jax.Array) -> jax.Array:
    """Maps patches [B, H, W, C] to logits [B, H, W, M]."""
    channels = patches.shape[-1]
    # Normalised patches have unit variance, so do their first centroids.
    centroids = self.param(
      'centroids', nn.initializers.normal(1.0), (self.num_clusters, channels)
    )
    patches, centroids = nn.dtypes.promote_dtype(
      patches, centroids, dtype=self.dtype
    )
    return _centroid_logits(patches, centroids)


def with_kmeans_centroids(
  model: nn.Module,
  variables: PyTree,
  images: jax.Array,
  rng: jax.Array,
  num_iterations: int = 10,
) -> PyTree:
  """Starts all centroids of a model with k-means on a batch's patches.

  Each `CentroidClustering` clusters the patches that reach it, those before it
  having their new centroids already.

  Args:
    model: called as model(images, train=False).
    variables: of the model.
    images: [B, H, W, C] of its inputs.
    rng: draws the patches that k-means begins with.
    num_iterations: of k-means.

  Returns:
    The variables with other centroids.

  Raises:
    ValueError: if the model has no `CentroidClustering`, or a stage has fewer
      patches in the batch than clusters.
  """
  found = {}

  def intercept(next_method, args, kwargs, context):
    module = context.module
    if not isinstance(module, CentroidClustering):
      return next_method(*args, **kwargs)
    (patches,) = args
    centroids = kmeans_centroids(
      patches.reshape(-1, patches.shape[-1]),
      module.num_clusters,
      jax.random.fold_in(rng, len(found)),
      num_iterations,
    )
    found['params', *module.path, 'centroids'] = centroids
    return _centroid_logits(patches, centroids)

  with nn.intercept_methods(intercept):
    model.apply(variables, images, train=False)
  if not found:
    raise ValueError('model: expected some CentroidClustering, found none.')
  flat = flax.traverse_util.flatten_dict(variables)
  return flax.traverse_util.unflatten_dict(flat | found)


def kmeans_centroids(
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
      'kmeans_centroids: expected features [N, C] of at least '
      f'{num_clusters} patches, found {features.shape}.'
    )

  def update(_, centroids):
    nearest = jnp.argmin(_squared_distances(features, centroids), axis=-1)
    members = jax.nn.one_hot(nearest, num_clusters, dtype=features.dtype)
    count = members.sum(0)[:, None]
    mean = members.T @ features / jnp.maximum(count, 1)
    return jnp.where(count > 0, mean, centroids)

  start = jax.random.choice(
    rng, features, (num_clusters,), replace=False, axis=0
  )
  return jax.lax.fori_loop(0, num_iterations, update, start)


def _centroid_logits(patches, centroids):
  scale = np.sqrt(patches.shape[-1]).astype(patches.dtype)
  return -_squared_distances(patches, centroids) / scale


def _squared_distances(patches, centroids):
  """[..., C] and [M, C] to [..., M]."""
  products = jnp.einsum('...C,MC->...M', patches, centroids)
  return (
    jnp.sum(jnp.square(patches), -1, keepdims=True)
    - 2 * products
    + jnp.sum(jnp.square(centroids), -1)
  )


class MixerBlock(nn.Module):
  """A ConvMixer block: depth-wise k x k with a residual, then 1x1.

  GELU comes before each BatchNorm.
  """

  kernel_size: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = layers.DepthwiseConv(self.kernel_size, self.dtype, name='spatial')(x)
    y = layers.BatchNorm(self.dtype, name='spatial_norm')(layers.gelu(y), train)
    return ConvNorm(x.shape[-1], self.dtype, name='mix')(x + y, train)


class ConvNorm(nn.Module):
  """1x1 convolution, or 3x3 with stride 2, then GELU, then BatchNorm."""

  channels: int
  dtype: jax.typing.DTypeLike = jnp.float32
  strided: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    conv = layers.StridedConv3x3 if self.strided else layers.Conv1x1
    x = conv(self.channels, dtype=self.dtype, name='conv')(x)
    return layers.BatchNorm(self.dtype, name='norm')(layers.gelu(x), train)


class Blur(nn.Module):
  """A fixed binomial 3x3 low-pass filter on x [B, H, W, C], zero padding."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    kernel = np.outer([1, 2, 1], [1, 2, 1])[:, :, None] / 16
    kernel = np.broadcast_to(kernel, (3, 3, x.shape[-1]))
    return depthwise_conv.depthwise_conv(x, jnp.asarray(kernel, x.dtype))


class Resize(nn.Module):
  """Bilinear interpolation of x [B, H, W, C] to [B, *size, C]."""

  size: tuple[int, int]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return resize.resize_bilinear(x, self.size)


class ClusteringTeacher(nn.Module):
  """A ConvMixer with a feature pyramid that clusters for all stages at once.

  It reads the backbone's stem and has the backbone's widths: its bottom-up
  maps are added to the ends of the stages.

  Attributes:
    channels: width of each stage.
    depths: mixer blocks of each stage.
    num_clusters: M of each stage; 0 gives no assignment.
    kernel_size: of the depth-wise convolutions.
  """

  channels: Sequence[int]
  depths: Sequence[int]
  num_clusters: Sequence[int]
  kernel_size: int = 7
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, x: jax.Array, train: bool
  ) -> tuple[list[jax.Array], list[jax.Array | None]]:
    """Maps the stem's output [B, H, W, C] to features and assignments.

    Returns:
      For each stage its bottom-up map [B, H, W, C] and its assignment
      [B, M, N], None where the stage has no clusters.
    """
    num_stages = len(self.channels)
    mixer = functools.partial(MixerBlock, self.kernel_size, self.dtype)
    features = []
    for i in range(num_stages):
      if i > 0:
        x = ConvNorm(
          self.channels[i], self.dtype, strided=True, name=f'transition_{i}'
        )(Blur()(x), train)
      for j in range(self.depths[i]):
        x = mixer(name=f'stage_{i + 1}_block_{j}')(x, train)
      features.append(x)

    pyramid = [features[-1]]
    for i in reversed(range(1, num_stages)):
      lower = features[i - 1]
      top = Resize(lower.shape[1:3])(pyramid[0])
      top = ConvNorm(self.channels[i - 1], self.dtype, name=f'lateral_{i}')(
        top, train
      )
      pyramid.insert(0, mixer(name=f'pyramid_{i}')(lower + top, train))

    assignments = [
      assign(
        layers.Conv1x1(clusters, dtype=self.dtype, name=f'to_clusters_{i + 1}')(
          level
        )
      )
      if clusters
      else None
      for i, (level, clusters) in enumerate(
        zip(pyramid, self.num_clusters, strict=True)
      )
    ]
    return features, assignments

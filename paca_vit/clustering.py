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

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from paca_vit import layers
from perceiver_paca.ops import depthwise_conv, resize


def assign(logits: jax.Array) -> jax.Array:
  """Softmax over the patches: logits [B, ..., M] to assignment [B, M, N]."""
  wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  wide = wide.reshape(wide.shape[0], -1, wide.shape[-1]).swapaxes(1, 2)
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

  The centroids [M, C] are learned. Not in the paper: the clustering that it
  replaces by a learned one.

  Attributes:
    num_clusters: M.
    kmeans_init: training starts with k-means on a batch (`paca_vit.kmeans`),
      not with random centroids.
    dtype: of the computation.
  """

  num_clusters: int
  kmeans_init: bool = False
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
    return centroid_logits(patches, centroids)


def centroid_logits(patches: jax.Array, centroids: jax.Array) -> jax.Array:
  """[..., C] and [M, C] to [..., M], see `CentroidClustering`."""
  scale = np.sqrt(patches.shape[-1]).astype(patches.dtype)
  return -squared_distances(patches, centroids) / scale


def squared_distances(patches: jax.Array, centroids: jax.Array) -> jax.Array:
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

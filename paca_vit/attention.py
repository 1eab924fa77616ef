"""Patch-to-cluster attention (PaCa-ViT, arXiv 2203.11987, equations 2-6)."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from paca_vit import clustering, layers
from perceiver_paca.ops import attention


class PatchToClusterAttention(nn.Module):
  """Patches ask clusters, which are weighted sums of the same patches.

  Linear in the number of patches: N M instead of N N. Without an assignment
  every patch is its own cluster, which is plain self-attention.

  Shapes: B batch, N patches, M clusters, C channels, H heads, D = C / H.

  Attributes:
    cluster_position: whether a learned vector a cluster is added before the
      clusters are normalised (unused in the published models).
    implementation: of `perceiver_paca.ops.attention`.
    kernel_init: of the projections' kernels.
  """

  num_heads: int
  cluster_position: bool = False
  implementation: attention.Implementation = 'auto'
  dtype: jax.typing.DTypeLike = jnp.float32
  kernel_init: nn.initializers.Initializer = layers.linear_init

  @nn.compact
  def __call__(
    self,
    patches: jax.Array,
    cluster_assignment: jax.Array | None,
    cluster_mask: jax.Array | None = None,
  ) -> jax.Array:
    """Maps patches [B, N, C] and an assignment [B, M, N] to [B, N, C].

    Args:
      patches: who asks.
      cluster_assignment: None: every patch is a cluster.
      cluster_mask: boolean [B, M], True for the clusters that answer.
    """
    channels = patches.shape[-1]
    if channels % self.num_heads:
      raise ValueError(
        f'num_heads: {channels} channels cannot be split into '
        f'{self.num_heads} heads.'
      )
    if cluster_assignment is None:
      clusters = patches
    else:
      clusters = self._clusters(patches, cluster_assignment)

    linear = functools.partial(
      layers.Linear, channels, kernel_init=self.kernel_init, dtype=self.dtype
    )

    def project(x, name):
      return linear(name=name)(x).reshape(*x.shape[:2], self.num_heads, -1)

    outputs = attention.attention(
      project(patches, 'query'),
      project(clusters, 'key'),
      project(clusters, 'value'),
      key_mask=cluster_mask,
      implementation=self.implementation,
    )
    return linear(name='out')(outputs.reshape(patches.shape))

  def _clusters(self, patches, cluster_assignment):
    clusters = jnp.einsum(
      'BMN,BNC->BMC',
      cluster_assignment,
      patches,
      preferred_element_type=jnp.promote_types(patches.dtype, jnp.float32),
    )
    if self.cluster_position:
      clusters += self.param(
        'cluster_position', nn.initializers.normal(0.02), clusters.shape[1:]
      )
    return layers.LayerNorm(dtype=self.dtype, name='cluster_norm')(clusters)


class PacaSelfAttention(nn.Module):
  """The same in the place of another Transformer's self-attention.

  Patches are clustered anew each time. Tokens before the patches, such as a
  class token, ask the clusters, too, but belong to none.

  Attributes:
    num_heads, kernel_init: as `PatchToClusterAttention`'s.
    clustering: makes what maps patches [B, height, width, C] to logits
      [B, height, width, M]: functools.partial(ConvClustering, num_clusters=64).
    grid: height and width of the patches, row by row the last tokens.
  """

  num_heads: int
  clustering: Callable[..., nn.Module]
  grid: tuple[int, int]
  dtype: jax.typing.DTypeLike = jnp.float32
  kernel_init: nn.initializers.Initializer = layers.linear_init

  @nn.compact
  def __call__(self, tokens: jax.Array) -> jax.Array:
    """Maps tokens [B, N, C] to the same shape.

    Raises:
      ValueError: if there are fewer tokens than patches in the grid.
    """
    batch, num_tokens, channels = tokens.shape
    num_others = num_tokens - math.prod(self.grid)
    if num_others < 0:
      raise ValueError(
        f'tokens: found {num_tokens}, expected at least the patches of grid = '
        f'{self.grid}.'
      )
    patches = tokens[:, num_others:].reshape(batch, *self.grid, channels)
    cluster_assignment = clustering.assign(
      self.clustering(dtype=self.dtype, name='clustering')(patches)
    )
    return PatchToClusterAttention(
      self.num_heads,
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      name='attention',
    )(tokens, jnp.pad(cluster_assignment, ((0, 0), (0, 0), (num_others, 0))))


def make_self_attention(
  num_heads: int, grid: tuple[int, int], channels: int, num_clusters: int
) -> PacaSelfAttention:
  """Builds it with the default clustering, of the sizes that others take."""
  del channels
  make = functools.partial(clustering.ConvClustering, num_clusters=num_clusters)
  return PacaSelfAttention(num_heads, make, grid)

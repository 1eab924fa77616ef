"""A block of PaCa-ViT: patch-to-cluster attention and an MLP.

Shapes: B batch, T frames (clips only), H height, W width, N patches, M
clusters, C channels.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from paca_vit import attention, clustering, layers
from perceiver_paca.ops import attention as attention_ops
from perceiver_paca.ops import resize

# Makes a module that maps patches [B, H, W, C] to logits [B, H, W, M], given
# its dtype and name: functools.partial(ConvClustering, num_clusters=100).
MakeClustering = Callable[..., nn.Module]


class Mlp(nn.Module):
  """Two linear layers; a depth-wise 3x3 with a residual before the GELU."""

  mlp_ratio: float = 4.0
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    channels = x.shape[-1]
    hidden = int(channels * self.mlp_ratio)
    x = layers.Linear(hidden, dtype=self.dtype, name='fc1')(x)
    x += layers.DepthwiseConv(3, self.dtype, name='spatial')(x)
    return layers.Linear(channels, dtype=self.dtype, name='fc2')(layers.gelu(x))


class Block(nn.Module):
  """Patch-to-cluster attention and an MLP, each with a residual.

  Attributes:
    clustering: makes this block's own assignment; None: it uses the given.
    drop_path_rate: chance that an example skips a branch, in training.
    norm_before: whether a branch starts with LayerNorm (the published way).
    norm_after: whether it ends with one. Alone this is post-norm inside the
      residual (Swin V2); with `norm_before` both ends are normalised, which
      the authors' code calls sub_ln.
    layer_scale: where the learned scale of each channel of a branch starts;
      None: no scale.
    cluster_position, implementation: see `PatchToClusterAttention`.
    position_grid: ((T,) H, W) of a learned position embedding that is added to
      the inputs, resized to their H and W; None: no embedding.
  """

  num_heads: int
  clustering: MakeClustering | None = None
  mlp_ratio: float = 4.0
  drop_path_rate: float = 0.0
  norm_before: bool = True
  norm_after: bool = False
  layer_scale: float | None = None
  cluster_position: bool = False
  implementation: attention_ops.Implementation = 'auto'
  position_grid: tuple[int, ...] | None = None
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    cluster_assignment: jax.Array | None,
    train: bool,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Maps x [B, (T,) H, W, C] to the same shape.

    Returns:
      The new x and the assignment [B, M, N] that was used.
    """
    if self.position_grid is not None:
      x += self._positions(x.shape[1:]).astype(x.dtype)

    patches = self._before(x, 'norm1')
    if self.clustering is not None:
      cluster_assignment = clustering.assign(
        self.clustering(dtype=self.dtype, name='clustering')(patches)
      )
    outputs = attention.PatchToClusterAttention(
      self.num_heads,
      self.cluster_position,
      self.implementation,
      self.dtype,
      name='attention',
    )(patches.reshape(x.shape[0], -1, x.shape[-1]), cluster_assignment)
    x += self._after(outputs.reshape(x.shape), '1', train)

    outputs = Mlp(self.mlp_ratio, self.dtype, name='mlp')(
      self._before(x, 'norm2')
    )
    x += self._after(outputs, '2', train)
    return x, cluster_assignment

  def _before(self, x, name):
    if not self.norm_before:
      return x
    return layers.LayerNorm(dtype=self.dtype, name=name)(x)

  def _after(self, branch, branch_name, train):
    if self.norm_after:
      branch = layers.LayerNorm(
        dtype=self.dtype, name=f'norm{branch_name}_after'
      )(branch)
    if self.layer_scale is not None:
      scale = self.param(
        f'layer_scale{branch_name}',
        nn.initializers.constant(self.layer_scale),
        branch.shape[-1:],
      )
      branch *= scale.astype(branch.dtype)
    return layers.DropPath(self.drop_path_rate)(branch, train)

  def _positions(self, shape):
    *_, height, width, channels = shape
    positions = self.param(
      'positions',
      nn.initializers.normal(0.02),
      (*self.position_grid, channels),
    )
    if self.position_grid[-2:] != (height, width):
      frames = positions.reshape(-1, *positions.shape[-3:])
      positions = resize.resize_bilinear(
        frames, (height, width), align_corners=True
      ).reshape(*positions.shape[:-3], height, width, channels)
    return positions

"""PaCa-ViT: a pyramid of stages of patch-to-cluster attention blocks.

Grainger et al., "PaCa-ViT: Learning Patch-to-Cluster Attention in Vision
Transformers", arXiv 2203.11987. What the paper leaves open follows the
authors' code (github.com/iVMCL/PaCaViT).

Shapes: B batch, H height, W width, N = H W patches, M clusters, C channels. A
clip has an axis T, time, before H: its N = T H W patches are clustered together
and attend to clusters of all of it, while convolutions see each frame alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from paca_vit import clustering, layers
from paca_vit.block import Block, MakeClustering


@dataclasses.dataclass(frozen=True)
class Stage:
  """The sizes of one stage.

  Attributes:
    channels: width C.
    depth: number of blocks.
    num_heads: heads of each block's attention.
    clustering: what assigns patches to clusters. None: the assignment is the
      teacher's, or without one all patches attend to all.
    blocks_per_assignment: how many blocks share an assignment before the next
      one makes its own. None: all of the stage (1 is block-wise clustering).
  """

  channels: int
  depth: int
  num_heads: int
  clustering: MakeClustering | None
  blocks_per_assignment: int | None = None


@flax.struct.dataclass
class Features:
  """What the stages return, a list entry for each.

  Attributes:
    maps: [B, (T,) H, W, C] after the stage's norm; inputs of dense heads.
    assignments: for each block the [B, M, N] that it used, or None. N counts
      row by row over the stage's map.
  """

  maps: list[jax.Array]
  assignments: list[list[jax.Array | None]]

  def cluster_maps(self) -> dict[str, jax.Array]:
    """The first assignment of each stage that has any: [B, M, (T,) H, W]."""
    return {
      f'stage_{i}': blocks[0].reshape(*blocks[0].shape[:2], *x.shape[1:-1])
      for i, (x, blocks) in enumerate(
        zip(self.maps, self.assignments, strict=True), 1
      )
      if blocks[0] is not None
    }


class Downsample(nn.Module):
  """3x3 convolutions with stride 2, then LayerNorm; nothing between them."""

  channels: Sequence[int]
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for i, channels in enumerate(self.channels):
      x = layers.StridedConv3x3(channels, dtype=self.dtype, name=f'conv_{i}')(x)
    return layers.LayerNorm(dtype=self.dtype, name='norm')(x)


class _Clustering(nn.Module):
  """A block's own part of `Block`: the assignment [B, M, N] of its patches."""

  clustering: MakeClustering
  dtype: jax.typing.DTypeLike

  @nn.compact
  def __call__(self, patches: jax.Array) -> jax.Array:
    return clustering.assign(
      self.clustering(dtype=self.dtype, name='clustering')(patches)
    )


class PacaBackbone(nn.Module):
  """The stem and the stages.

  Attributes:
    stages: from fine to coarse; each halves the map of the one before.
    teacher: clusters for all stages that have no clustering of their own, and
      its features are added at their ends; made with the stages' channels.
    block: makes the blocks, with the options that they share.
    drop_path_rate: of the last block; it rises linearly from 0 at the first.
    scan_layers: make the blocks of a stage a loop over one block, which
      compiles several times faster. Results are the same; the parameters are
      stacked, in `stacked_stage_i_block`, and nothing inside of a block can be
      captured. For stages that share one assignment, without `position_grid`.
    position_grid: ((T,) H, W) of the first stage's map for which position
      embeddings are learned, those of later stages by halving H and W, rounded
      up. None: none, as in the published models.
    in_channels: of the images.
  """

  stages: Sequence[Stage]
  teacher: clustering.ClusteringTeacher | None = None
  block: Callable[..., nn.Module] = Block
  drop_path_rate: float = 0.0
  position_grid: tuple[int, ...] | None = None
  in_channels: int = 3
  scan_layers: bool = False
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> Features:
    """Maps images [B, (T,) H, W, in_channels] of any size to features.

    The first stage's map has ceil(ceil(H / 2) / 2) rows, likewise columns.

    Raises:
      ValueError: if the images have another rank or other channels, or the
        blocks differ in more than their parameters where they are scanned.
    """
    if self.scan_layers and (
      self.position_grid is not None
      or any(stage.blocks_per_assignment for stage in self.stages)
    ):
      raise ValueError(
        'scan_layers: expected position_grid and blocks_per_assignment to be '
        'None, since blocks in a loop are all alike.'
      )
    if images.ndim not in (4, 5) or images.shape[-1] != self.in_channels:
      raise ValueError(
        f'images: expected [B, H, W, {self.in_channels}] or [B, T, H, W, '
        f'{self.in_channels}], found {images.shape}.'
      )
    if 0 in images.shape[1:-1]:
      raise ValueError(f'images: expected pixels, found {images.shape}.')

    channels = self.stages[0].channels
    x = Downsample((channels // 2, channels), self.dtype, name='stem')(
      images.astype(self.dtype)
    )
    teacher_features = taught = [None] * len(self.stages)
    if self.teacher is not None:
      teacher_features, taught = self.teacher(x, train)

    depths = [stage.depth for stage in self.stages]
    rates = np.linspace(0, self.drop_path_rate, sum(depths))
    rates = np.split(rates, np.cumsum(depths)[:-1])
    grid = self.position_grid
    features = Features([], [])
    for i, stage in enumerate(self.stages):
      name = f'stage_{i + 1}'
      if i > 0:
        x = Downsample((stage.channels,), self.dtype, name=f'transition_{i}')(x)
        grid = grid and (*grid[:-2], *((n + 1) // 2 for n in grid[-2:]))
      blocks = stage, name, rates[i]
      if self.scan_layers:
        x, assignments = self._scanned(*blocks, x, taught[i], train)
      else:
        x, assignments = self._unrolled(*blocks, grid, x, taught[i], train)
      if teacher_features[i] is not None:
        x += teacher_features[i]
      x = layers.LayerNorm(dtype=self.dtype, name=f'{name}_norm')(x)
      features.maps.append(x)
      features.assignments.append(assignments)
    return features

  def _unrolled(self, stage, name, rates, grid, x, assignment, train):
    """Returns what the blocks of a stage make of x, and their assignments."""
    assignments = []
    for j, rate in enumerate(rates.tolist()):
      make_own = (
        j % stage.blocks_per_assignment == 0
        if stage.blocks_per_assignment
        else j == 0
      )
      x, assignment = self.block(
        num_heads=stage.num_heads,
        clustering=stage.clustering if make_own else None,
        drop_path_rate=rate,
        position_grid=grid if j == 0 else None,
        dtype=self.dtype,
        name=f'{name}_block_{j}',
      )(x, assignment, train)
      assignments.append(assignment)
    return x, assignments

  def _scanned(self, stage, name, rates, x, assignment, train):
    """As `_unrolled`, one block in a loop over the parameters of all."""
    make_block = functools.partial(
      self.block,
      num_heads=stage.num_heads,
      dtype=self.dtype,
      parent=None,
      name=f'{name}_block_0',  # for `relevance`; all share its assignment
    )
    first = make_block(clustering=stage.clustering)

    def init(rng, *args):
      def one(rng):
        params = first.init(rng, *args)['params']
        return {k: v for k, v in params.items() if k != 'clustering'}

      return jax.vmap(one)(jax.random.split(rng, stage.depth))

    stacked = self.param(f'stacked_{name}_block', init, x, assignment, False)
    if stage.clustering is not None:
      patches = x
      if first.norm_before:
        norm = jax.tree.map(lambda p: p[0], stacked['norm1'])
        norm1 = layers.LayerNorm(dtype=self.dtype, parent=None)
        patches = norm1.apply({'params': norm}, x)
      assignment = _Clustering(
        stage.clustering, self.dtype, name=f'{name}_block_0'
      )(patches)

    drops = None
    if train and self.drop_path_rate > 0:
      rngs = jax.random.split(self.make_rng('drop_path'), stage.depth)
      drops = jnp.asarray(rates, jnp.float32), rngs

    def apply(x, layer):
      params, drop = layer
      rate, rng = drop or (0.0, None)
      rngs = {'drop_path': rng} if drop else {}
      block = make_block(drop_path_rate=rate)
      x, _ = block.apply({'params': params}, x, assignment, train, rngs=rngs)
      return x, None

    x, _ = jax.lax.scan(apply, x, (stacked, drops))
    return x, [assignment] * stage.depth


def make_backbone(config: Mapping[str, Any]) -> PacaBackbone:
  """Builds the backbone of sizes as in `variants`, a dtype and scan_layers.

  Raises:
    ValueError: naming the field that does not fit the others.
  """
  channels = config['channels']
  for field in ('depths', 'num_heads', 'num_clusters'):
    if len(config[field]) != len(channels):
      raise ValueError(
        f'config.model.{field}: expected one entry for each of the '
        f'{len(channels)} stages, found {config[field]}.'
      )
  dtype = jnp.dtype(config['dtype'])
  options = dict(config['clustering'])
  kind = getattr(clustering, options['kind'], None)
  if not isinstance(kind, type):
    raise ValueError(
      'config.model.clustering.kind: no class of paca_vit.clustering is named '
      f'{options["kind"]!r}.'
    )
  del options['kind']
  teacher, clusterings = None, [None] * len(channels)
  if kind is clustering.ClusteringTeacher:
    teacher = kind(
      channels=channels,
      num_clusters=config['num_clusters'],
      dtype=dtype,
      **options,
    )
  else:
    clusterings = [
      functools.partial(kind, num_clusters=m, **options) if m else None
      for m in config['num_clusters']
    ]
  return PacaBackbone(
    stages=[
      Stage(*sizes, blocks_per_assignment=config['blocks_per_assignment'])
      for sizes in zip(
        channels,
        config['depths'],
        config['num_heads'],
        clusterings,
        strict=True,
      )
    ],
    teacher=teacher,
    block=functools.partial(Block, **config['block']),
    drop_path_rate=config['drop_path_rate'],
    position_grid=config['position_grid'],
    in_channels=config['in_channels'],
    scan_layers=config['scan_layers'],
    dtype=dtype,
  )

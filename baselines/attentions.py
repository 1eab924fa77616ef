"""Self-attentions to put into `baselines.vit.ViT`, by the name of a function.

A config names one of these, or `paca_vit.attention.make_self_attention`; all
take the same three sizes and options of their own.

  num_heads: heads of each block's attention.
  grid: height and width of the tokens, which are patches row by row.
  channels: of a token.
"""

import functools
from collections.abc import Callable

import jax
from flax import linen as nn

from baselines import attention, vit

Grid = tuple[int, int]


def _of(attend: Callable[..., jax.Array], num_heads: int, **options):
  return vit.SelfAttention(num_heads, functools.partial(attend, **options))


def full(num_heads: int, grid: Grid, channels: int) -> nn.Module:
  """All attend to all."""
  del grid, channels
  return vit.SelfAttention(num_heads)


def local_window(
  num_heads: int, grid: Grid, channels: int, radius: int
) -> nn.Module:
  """`attention.local_window`."""
  del grid, channels
  return _of(attention.local_window, num_heads, radius=radius)


def big_bird(
  num_heads: int, grid: Grid, channels: int, num_random: int
) -> nn.Module:
  """`attention.big_bird` of blocks of one row of patches."""
  del channels
  options = dict(block_size=grid[1], num_random=num_random)
  return _of(attention.big_bird, num_heads, **options)


def linformer(
  num_heads: int, grid: Grid, channels: int, rank: int
) -> nn.Module:
  """`vit.Linformer`."""
  del grid, channels
  return vit.SelfAttention(num_heads, vit.Linformer(rank))


def performer(
  num_heads: int, grid: Grid, channels: int, num_features: int
) -> nn.Module:
  """`attention.performer` with features drawn once, the same in each block."""
  del grid
  features = attention.orthogonal_features(
    jax.random.key(0), num_features, channels // num_heads
  )
  return _of(attention.performer, num_heads, features=features)


def linear(num_heads: int, grid: Grid, channels: int) -> nn.Module:
  """`attention.linear`."""
  del grid, channels
  return _of(attention.linear, num_heads)

"""Rearrangements of images and videos: no parameters, exactly invertible.

Letters: B batch, T time, H and W height and width, C channels.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax


def space_to_depth(x: jax.Array, spatial: int, temporal: int = 1) -> jax.Array:
  """Moves blocks into channels.

  Args:
    x: an image [B, H, W, C] or a video [B, T, H, W, C].
    spatial: side of a block in pixels; divides H and W.
    temporal: length of a block in frames; divides T.

  Returns:
    [B, H/s, W/s, s*s*C] or [B, T/t, H/s, W/s, t*s*s*C]; channels in the order
    of (t, row, column, channel).
  """
  blocks = _blocks(x.ndim - 2, spatial, temporal)
  for size, block in zip(x.shape[1:-1], blocks, strict=True):
    if size % block:
      raise ValueError(
        f'x: found shape {x.shape}, expected sizes that blocks of {blocks} '
        'divide.'
      )
  split = [
    n
    for size, block in zip(x.shape[1:-1], blocks, strict=True)
    for n in (size // block, block)
  ]
  d = len(blocks)
  x = x.reshape(x.shape[0], *split, x.shape[-1])
  x = x.transpose(0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2), 2 * d + 1)
  return x.reshape(*x.shape[: d + 1], -1)


def depth_to_space(x: jax.Array, spatial: int, temporal: int = 1) -> jax.Array:
  """The inverse of `space_to_depth`, for x of its result's shape."""
  blocks = _blocks(x.ndim - 2, spatial, temporal)
  d, grid = len(blocks), x.shape[1:-1]
  x = x.reshape(x.shape[0], *grid, *blocks, -1)
  order = [axis for i in range(d) for axis in (1 + i, 1 + d + i)]
  x = x.transpose(0, *order, 2 * d + 1)
  sizes = [n * block for n, block in zip(grid, blocks, strict=True)]
  return x.reshape(x.shape[0], *sizes, -1)


def _blocks(num_dims: int, spatial: int, temporal: int) -> tuple[int, ...]:
  if num_dims == 2 and temporal == 1:
    return spatial, spatial
  if num_dims == 3:
    return temporal, spatial, spatial
  raise ValueError(
    f'x: found {num_dims + 2} axes with temporal={temporal}, expected '
    '[B, H, W, C] (and temporal=1) or [B, T, H, W, C].'
  )


def extract_patches(
  x: jax.Array,
  sizes: Sequence[int],
  strides: Sequence[int] = (1, 1),
  rates: Sequence[int] = (1, 1),
  padding: str = 'VALID',
) -> jax.Array:
  """Overlapping patches of images [B, H, W, C] as channels.

  Args:
    x: [B, H, W, C].
    sizes: height and width of a patch, in samples.
    strides: steps between patches.
    rates: steps between the samples of a patch.
    padding: 'VALID' or 'SAME', as in a convolution.

  Returns:
    [B, H', W', h*w*C], channels in the order of (row, column, channel).
  """
  extents = [(s - 1) * r + 1 for s, r in zip(sizes, rates, strict=True)]
  pads = lax.padtype_to_pads(x.shape[1:3], extents, strides, padding)
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
  stops = [n - e + 1 for n, e in zip(x.shape[1:3], extents, strict=True)]
  samples = [
    x[:, i : i + stops[0] : strides[0], j : j + stops[1] : strides[1]]
    for i in range(0, extents[0], rates[0])
    for j in range(0, extents[1], rates[1])
  ]
  return jnp.concatenate(samples, axis=-1)


def neighbourhoods(frames: jax.Array, size: int = 3) -> jax.Array:
  """Each pixel with its neighbours, zeros outside: optical flow's input.

  Args:
    frames: [B, T, H, W, C].
    size: side of a pixel's neighbourhood, odd.

  Returns:
    [B, T, H, W, size * size * C].
  """
  flat = frames.reshape(-1, *frames.shape[2:])
  patches = extract_patches(flat, (size, size), padding='SAME')
  return patches.reshape(*frames.shape[:4], -1)

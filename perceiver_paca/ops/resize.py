"""Bilinear interpolation and averaging of feature maps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@functools.partial(jax.jit, static_argnames=('size', 'align_corners'))
def resize_bilinear(
  x: jax.Array, size: tuple[int, int], align_corners: bool = False
) -> jax.Array:
  """Resizes x [B, H, W, C] to [B, *size, C], without a low-pass filter.

  As PyTorch's interpolate: pixels are squares whose outer edges stay in place
  or, with `align_corners`, points of which the outermost stay in place. As two
  products, whose gradient is two products as well, unlike that of a gather.
  """
  return _product(
    _weights(x.shape[1], size[0], align_corners),
    _weights(x.shape[2], size[1], align_corners),
    x,
  )


@functools.partial(jax.jit, static_argnames='size')
def adaptive_average_pool(x: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Averages x [B, H, W, C] over a grid of boxes: [B, *size, C].

  As PyTorch's: box i of n along an axis of length L covers the pixels from
  floor(i L / n) to ceil((i + 1) L / n), so that boxes may overlap.
  """
  return _product(
    _box_weights(x.shape[1], size[0]), _box_weights(x.shape[2], size[1]), x
  )


def _product(rows, columns, x):
  """rows [h, H] and columns [w, W] times x, in float32 or wider inside."""
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  rows, columns, out = (
    rows.astype(dtype),
    columns.astype(dtype),
    x.astype(dtype),
  )
  out = jnp.einsum('hH,BHWC->BhWC', rows, out, precision=lax.Precision.HIGHEST)
  out = jnp.einsum(
    'wW,BhWC->BhwC', columns, out, precision=lax.Precision.HIGHEST
  )
  return out.astype(x.dtype)


def _weights(size, new_size, align_corners):
  """[new_size, size]: what each old pixel gives to each new one."""
  if align_corners:
    places = np.linspace(0, size - 1, new_size)
  else:
    places = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
  places = np.clip(places, 0, size - 1)[:, None]
  return np.maximum(0, 1 - np.abs(places - np.arange(size)))


def _box_weights(size, new_size):
  """[new_size, size]: the share of each old pixel in each box's average."""
  boxes = np.arange(new_size)[:, None]
  pixels = np.arange(size)
  inside = pixels >= boxes * size // new_size
  inside &= pixels < -(-(boxes + 1) * size // new_size)
  return inside / inside.sum(axis=1, keepdims=True)

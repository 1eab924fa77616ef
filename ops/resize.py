"""Bilinear interpolation of feature maps."""

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
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  rows = _weights(x.shape[1], size[0], align_corners).astype(dtype)
  columns = _weights(x.shape[2], size[1], align_corners).astype(dtype)
  out = x.astype(dtype)
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

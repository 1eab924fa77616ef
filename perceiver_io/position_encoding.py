"""Position encodings: Fourier features, learned tables, and maps of either.

Fourier features are computed in float64 numpy, one small table per dimension,
and cast: they do not depend on the platform. (In float32 the highest audio
frequencies are off by 1e-2.)

Letters: P positions, C channels, K bands, d dimensions of the index.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from perceiver_io import initializers


def fourier_features(
  positions: np.ndarray | jax.Array,
  num_bands: int,
  max_resolution: Sequence[int],
  concat_pos: bool = True,
  sine_only: bool = False,
) -> np.ndarray:
  """Sines and cosines of positions (Jaegle et al. 2021b, appendix D).

  The frequencies of dimension i are `num_bands` from 1 to max_resolution[i] / 2
  half periods, evenly spaced.

  Args:
    positions: [..., d], each in [-1, 1]: float64, or an array of JAX's, which
      is computed with in its own type.
    num_bands: K.
    max_resolution: d numbers.
    concat_pos: begin with the positions themselves.
    sine_only: leave the cosines out.

  Returns:
    [..., C]: positions, all sines (dimension by dimension), all cosines.
  """
  bands = np.stack([np.linspace(1, r / 2, num_bands) for r in max_resolution])
  bands = bands.astype(positions.dtype)
  phases = np.pi * (positions[..., None] * bands)  # [..., d, K]
  phases = phases.reshape(*positions.shape[:-1], -1)
  xp = jnp if isinstance(positions, jax.Array) else np
  parts = [positions] if concat_pos else []
  parts.append(xp.sin(phases))
  if not sine_only:
    parts.append(xp.cos(phases))
  return xp.concatenate(parts, axis=-1)


class FourierPositions(nn.Module):
  """Fourier features of a grid of any size, or of points of it.

  Attributes:
    num_bands: K.
    max_resolution: d numbers; the size of the grid if None. A model used at
      another resolution than its own keeps this one.
    concat_pos, sine_only: see `fourier_features`.
    half_open_points: where the reference code takes single points of a grid, it
      puts point i of n at -1 + 2 i / n, short of 1 and elsewhere than on the
      whole grid. False puts points where the grid has them; True reproduces
      the released multimodal autoencoder, trained and used on points.
  """

  num_bands: int
  max_resolution: tuple[int, ...] | None = None
  concat_pos: bool = True
  sine_only: bool = False
  half_open_points: bool = False

  @nn.compact
  def __call__(
    self,
    index_dims: Sequence[int],
    points: jax.Array | None = None,
    dtype: jax.typing.DTypeLike = jnp.float32,
  ) -> jax.Array:
    """Returns features [prod(index_dims), C], or [..., C] for points.

    Args:
      index_dims: the size of the grid, d numbers.
      points: flat indices into the grid, [...].
      dtype: of the result.
    """
    max_resolution = self.max_resolution or tuple(index_dims)
    if len(max_resolution) != len(index_dims):
      raise ValueError(
        f'max_resolution: found {max_resolution}, expected one number for each '
        f'dimension of the grid {tuple(index_dims)}.'
      )
    shape = tuple(index_dims) if points is None else points.shape
    indices = None
    if points is not None:
      indices = jnp.unravel_index(points, tuple(index_dims))

    parts = []  # of each dimension: its position, sines and cosines
    for i, n in enumerate(index_dims):
      positions = np.linspace(-1, 1, n)
      if points is not None and self.half_open_points:
        positions = -1 + 2 * np.arange(n) / n
      table = fourier_features(
        positions[:, None],
        self.num_bands,
        max_resolution[i : i + 1],
        sine_only=self.sine_only,
      )
      features = jnp.asarray(table, dtype)
      if indices is None:
        others = [j for j in range(len(index_dims)) if j != i]
        features = jnp.expand_dims(features, others)
      else:
        features = features[indices[i]]
      features = jnp.broadcast_to(features, (*shape, table.shape[-1]))
      parts.append(jnp.split(features, [1, 1 + self.num_bands], axis=-1))
    kinds = list(zip(*parts, strict=True))
    if not self.concat_pos:
      kinds = kinds[1:]
    features = jnp.concatenate([x for kind in kinds for x in kind], axis=-1)
    if points is None:
      features = features.reshape(-1, features.shape[-1])
    return features


class LearnedPositions(nn.Module):
  """A table with one learned vector per position of a grid.

  Attributes:
    index_dims: the size of the grid.
    channels: C.
    interpolate: resample the table (bicubic) for grids of another size.
  """

  index_dims: tuple[int, ...]
  channels: int
  interpolate: bool = False

  @nn.compact
  def __call__(
    self,
    index_dims: Sequence[int] | None = None,
    points: jax.Array | None = None,
    dtype: jax.typing.DTypeLike | None = None,
  ) -> jax.Array:
    """Returns vectors [prod(index_dims), C], or [..., C] for points.

    Args:
      index_dims: the size of the grid, the table's own if None. A shorter
        sequence (d = 1) has the first positions of the table.
      points: flat indices into the grid, [...]. (The reference code returns
        the whole table for them.)
      dtype: of the result, the table's if None.

    Raises:
      ValueError: for a grid that does not fit the table.
    """
    own, index_dims = self.index_dims, tuple(index_dims or self.index_dims)
    table = self.param(
      'table',
      initializers.learned_array,
      (math.prod(own), self.channels),
      jnp.float32,
    )
    if index_dims != own:
      if self.interpolate and len(index_dims) == len(own):
        table = jax.image.resize(
          table.reshape(*own, self.channels),
          (*index_dims, self.channels),
          method='cubic',
          antialias=False,
        ).reshape(-1, self.channels)
      elif len(own) == len(index_dims) == 1 and index_dims[0] <= own[0]:
        table = table[: index_dims[0]]
      else:
        raise ValueError(
          f'index_dims: found {index_dims}, but positions were learned for '
          f'{own}; expected the same, or interpolate=True.'
        )
    if points is not None:
      table = table[points]
    return table if dtype is None else table.astype(dtype)


class ProjectedPositions(nn.Module):
  """Positions mapped to another number of channels."""

  positions: nn.Module
  channels: int

  @nn.compact
  def __call__(self, index_dims, points=None, dtype=None):
    """As the `positions` that it projects."""
    dense = nn.Dense(
      self.channels,
      dtype=dtype,
      kernel_init=initializers.fan_in_truncated,
      name='linear',
    )
    return dense(self.positions(index_dims, points, dtype))

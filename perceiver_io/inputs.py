"""What the encoder reads: arrays of tokens, pixels, patches, samples.

Every module here maps a raw input to an array [B, M, C]. `GridInputs` combines
a module for the features of a grid with one for its positions.

Letters: B batch, M inputs, C channels, T time, H and W height and width.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_io import initializers, patches
from perceiver_io.convolution import ConvDownsample
from perceiver_io.position_encoding import LearnedPositions
from perceiver_paca.ops.mesh import whole

Dtype = jax.typing.DTypeLike


class TokenInputs(nn.Module):
  """Embedded tokens plus learned positions: no scaling, no normalisation.

  Attributes:
    vocab_size: number of token ids.
    channels: C.
    max_length: the longest sequence.
    embedding_stddev: of the truncated normal that embeddings begin as; the
      positions' is 0.02.
  """

  vocab_size: int
  channels: int
  max_length: int
  embedding_stddev: float
  dtype: Dtype | None = None

  def setup(self):
    self.embedding = self.param(
      'embedding',
      nn.initializers.truncated_normal(self.embedding_stddev),
      (self.vocab_size, self.channels),
      jnp.float32,
    )
    self.positions = LearnedPositions((self.max_length,), self.channels)

  def __call__(self, ids: jax.Array) -> jax.Array:
    """Maps ids [B, M] to [B, M, C].

    Raises:
      ValueError: for a sequence longer than `max_length`.
    """
    length = ids.shape[1]
    if length > self.max_length:
      raise ValueError(
        f'ids: found {length} tokens, expected at most max_length = '
        f'{self.max_length}.'
      )
    x = whole(self.embedding)[ids] + self.positions((length,))
    return x if self.dtype is None else x.astype(self.dtype)


class GridInputs(nn.Module):
  """Features of a grid and the positions they are at.

  Attributes:
    features: maps the raw input to [B, *index_dims, C'].
    positions: maps index_dims to [prod(index_dims), C''].
    add_positions: add positions to the features instead of appending them.
  """

  features: nn.Module
  positions: nn.Module
  add_positions: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Returns [B, prod(index_dims), C' + C''] (or C' if positions are added).

    Args:
      x: what `features` takes.
      train: whether batch statistics are those of the batch.
    """
    x = self.features(x, train=train)
    positions = self.positions(x.shape[1:-1], dtype=x.dtype)
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    if self.add_positions:
      return x + positions
    positions = jnp.broadcast_to(positions, (x.shape[0], *positions.shape))
    return jnp.concatenate([x, positions], axis=-1)


class Pixels(nn.Module):
  """Pixels as they are: every `spatial`-th, of every `temporal`-th frame.

  Attributes:
    spatial, temporal: steps.
    channels: project them linearly (a 1x1 convolution), or None.
  """

  spatial: int = 1
  temporal: int = 1
  channels: int | None = None
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps [B, H, W, C] or [B, T, H, W, C] to every s-th pixel."""
    del train
    if x.ndim == 5:
      x = x[:, :: self.temporal]
    x = x[..., :: self.spatial, :: self.spatial, :]
    return _project(x, self.channels, self.dtype)


class Patches(nn.Module):
  """Patches whose pixels are channels; a time axis of 1 is dropped.

  Attributes:
    spatial, temporal: size of a patch in pixels and frames.
    channels: project them linearly, or None.
  """

  spatial: int
  temporal: int = 1
  channels: int | None = None
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps as `patches.space_to_depth`."""
    del train
    x = patches.space_to_depth(x, self.spatial, self.temporal)
    if x.ndim == 5 and x.shape[1] == 1:
      x = x[:, 0]
    return _project(x, self.channels, self.dtype)


class FramePair(nn.Module):
  """Two frames: each pixel with its neighbours, projected.

  Attributes:
    channels: C after the linear projection.
    patch_size: 3 for the 3x3 neighbours, 1 for the pixel alone.
    concatenate: whether both frames' pixels of a place become one input; if
      not, time is the first axis of the grid.
  """

  channels: int
  patch_size: int = 3
  concatenate: bool = True
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps frames [B, 2, H, W, 3], in [-1, 1], to [B, H, W, channels], or to
    [B, 2, H, W, channels] if they are not concatenated."""
    del train
    _check_frames(x)
    x = patches.neighbourhoods(x, self.patch_size)
    if self.concatenate:
      x = patches.space_to_depth(x, 1, temporal=2)[:, 0]
    return _project(x, self.channels, self.dtype)


class ConvFramePair(nn.Module):
  """Two frames through a convolution and a max-pool, four times smaller.

  Attributes:
    channels: C of the convolution.
    concatenate: whether the frames are one image of six channels; if not, each
      goes through the same convolution, and time is the first axis of the grid.
    batch_norm: normalise after the convolution.
  """

  channels: int
  concatenate: bool = True
  batch_norm: bool = True
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps frames [B, 2, H, W, 3], in [-1, 1], to [B, H / 4, W / 4, channels],
    or to [B, 2, H / 4, W / 4, channels] if they are not concatenated."""
    _check_frames(x)
    batch = x.shape[0]
    if self.concatenate:
      x = patches.space_to_depth(x, 1, temporal=2)[:, 0]
    else:
      x = x.reshape(-1, *x.shape[2:])
    x = ConvDownsample(
      self.channels, batch_norm=self.batch_norm, dtype=self.dtype, name='stem'
    )(x, train)
    return x if self.concatenate else x.reshape(batch, 2, *x.shape[1:])


class AudioPatches(nn.Module):
  """Consecutive samples as channels."""

  samples_per_patch: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps [B, T, C] (or [B, T]) to [B, T / s, s * C]."""
    del train
    if x.shape[1] % self.samples_per_patch:
      raise ValueError(
        f'audio: found {x.shape[1]} samples, expected a multiple of '
        f'samples_per_patch = {self.samples_per_patch}.'
      )
    return x.reshape(x.shape[0], x.shape[1] // self.samples_per_patch, -1)


class OneHotLabel(nn.Module):
  """A label as one input without a position."""

  num_classes: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps a distribution over classes [B, num_classes] to [B, 1, C]."""
    del train
    if x.shape[1:] != (self.num_classes,):
      raise ValueError(
        f'label: found shape {x.shape}, expected [B, {self.num_classes}].'
      )
    return x[:, None]


def _check_frames(x: jax.Array) -> None:
  if x.ndim != 5 or x.shape[1] != 2:
    raise ValueError(
      f'frames: found shape {x.shape}, expected [B, 2, H, W, C].'
    )


def _project(x: jax.Array, channels: int | None, dtype: Dtype | None):
  if channels is None:
    return x if dtype is None else x.astype(dtype)
  return nn.Dense(
    channels,
    dtype=dtype,
    kernel_init=initializers.fan_in_truncated,
    name='linear',
  )(x)

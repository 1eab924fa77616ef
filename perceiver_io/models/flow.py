"""Optical flow, from patches of pixels or a convolution."""

import jax

from perceiver_io import inputs as inputs_lib
from perceiver_io import outputs as outputs_lib
from perceiver_io import queries as queries_lib
from perceiver_io.models import encoders
from perceiver_io.perceiver import Encoder, Perceiver
from perceiver_io.position_encoding import FourierPositions

Dtype = jax.typing.DTypeLike


def optical_flow(
  *,
  image_size: tuple[int, int],
  encoder: Encoder,
  channels: int = 64,
  patch_size: int = 3,
  concatenate: bool = True,
  num_bands: int = 64,
  max_resolution: tuple[int, ...] | None = None,
  dtype: Dtype | None = None,
) -> Perceiver:
  """Optical flow (Jaegle et al. 2021b, section 4.2): the inputs are queries.

  Args:
    image_size: height and width of both frames.
    encoder: see `encoder`.
    channels: that a pixel's neighbourhoods are projected to.
    patch_size: side of a pixel's neighbourhood, 3 or 1 (table 16).
    concatenate: whether both frames' pixels of a place are one input. If not,
      positions are in space and time, and the first frame queries.
    num_bands: of the Fourier features.
    max_resolution: of the Fourier features; the grid's size if None.
  """
  return Perceiver(
    inputs=inputs_lib.GridInputs(
      features=inputs_lib.FramePair(channels, patch_size, concatenate, dtype),
      positions=FourierPositions(num_bands, max_resolution),
    ),
    encoder=encoder,
    queries=_flow_queries(concatenate),
    decoder=encoders.decoder(encoder, use_query_residual=False),
    outputs=outputs_lib.Flow(*image_size),
  )


def conv_optical_flow(
  *,
  image_size: tuple[int, int],
  encoder: Encoder,
  channels: int = 64,
  concatenate: bool = True,
  batch_norm: bool = True,
  num_bands: int = 64,
  dtype: Dtype | None = None,
) -> Perceiver:
  """Optical flow at a quarter of the resolution, upsampled (appendix H).

  What the paper leaves open is taken from its convolutional ImageNet model (the
  stem) and from RAFT (the upsampling); frames are concatenated before the
  convolution, which gives the 322 channels that the paper counts.

  Args:
    image_size: height and width of both frames, multiples of 4.
    encoder: see `encoder`.
    channels: of the convolution, and of the outputs that flow is read from.
    concatenate: see `optical_flow`.
    batch_norm: normalise after the convolution.
    num_bands: of the Fourier features.
  """
  height, width = image_size
  if height % 4 or width % 4:
    raise ValueError(
      f'image_size: found {image_size}, expected multiples of 4.'
    )
  return Perceiver(
    inputs=inputs_lib.GridInputs(
      features=inputs_lib.ConvFramePair(
        channels, concatenate, batch_norm, dtype
      ),
      positions=FourierPositions(num_bands),
    ),
    encoder=encoder,
    queries=_flow_queries(concatenate),
    decoder=encoders.decoder(encoder, use_query_residual=False),
    outputs=outputs_lib.ConvexFlow(height // 4, width // 4, channels=channels),
  )


def _flow_queries(concatenate: bool):
  if concatenate:
    return queries_lib.InputQueries()
  return queries_lib.FirstFrameQueries()

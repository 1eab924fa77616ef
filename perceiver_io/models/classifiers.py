"""Classifiers: of images by three kinds of inputs, and of any other inputs."""

from collections.abc import Mapping
from typing import Any

import jax

from perceiver_io import inputs as inputs_lib
from perceiver_io import outputs as outputs_lib
from perceiver_io import queries as queries_lib
from perceiver_io.convolution import ConvDownsample
from perceiver_io.models import encoders
from perceiver_io.perceiver import Encoder, Perceiver, PooledPerceiver
from perceiver_io.position_encoding import (
  FourierPositions,
  LearnedPositions,
  ProjectedPositions,
)

Dtype = jax.typing.DTypeLike


def learned_pixels(
  image_size: tuple[int, int],
  channels: int = 256,
  position_channels: int = 256,
  projected_position_channels: int = 256,
  interpolate: bool = False,
  dtype: Dtype | None = None,
) -> inputs_lib.GridInputs:
  """Projected pixels and learned, projected positions.

  Args:
    image_size: height and width.
    channels: of projected pixels.
    position_channels: of the table of positions.
    projected_position_channels: that the table is projected to.
    interpolate: see `LearnedPositions`.
  """
  return inputs_lib.GridInputs(
    features=inputs_lib.Pixels(channels=channels, dtype=dtype),
    positions=ProjectedPositions(
      LearnedPositions(image_size, position_channels, interpolate),
      projected_position_channels,
    ),
  )


def fourier_pixels(
  max_resolution: tuple[int, int],
  num_bands: int = 64,
  channels: int | None = None,
  dtype: Dtype | None = None,
) -> inputs_lib.GridInputs:
  """Pixels, projected if `channels` says so, and 2-D Fourier features."""
  return inputs_lib.GridInputs(
    features=inputs_lib.Pixels(channels=channels, dtype=dtype),
    positions=FourierPositions(num_bands, max_resolution),
  )


def conv_features(
  max_resolution: tuple[int, int],
  num_bands: int = 64,
  channels: int = 64,
  dtype: Dtype | None = None,
) -> inputs_lib.GridInputs:
  """A convolution and a max-pool, and 2-D Fourier features of their grid."""
  return inputs_lib.GridInputs(
    features=ConvDownsample(channels, dtype=dtype),
    positions=FourierPositions(num_bands, max_resolution),
  )


def classifier(
  *,
  inputs: inputs_lib.GridInputs,
  encoder: Encoder,
  num_classes: int,
  query_channels: int,
  use_query_residual: bool,
) -> Perceiver:
  """The classifier (Jaegle et al. 2021b, section 4.4): one learned query.

  Args:
    inputs: `learned_pixels`, `fourier_pixels` or `conv_features`; for sound
      and video (section 4.7) `MultimodalInputs`.
    encoder: see `encoder`.
    num_classes: logits.
    query_channels: of the query; 1,024.
    use_query_residual: of the decoder; False in the published model with
      learned positions, True in the others.
  """
  return Perceiver(
    inputs=inputs,
    encoder=encoder,
    queries=queries_lib.LearnedQueries(1, query_channels),
    decoder=encoders.decoder(encoder, use_query_residual),
    outputs=outputs_lib.ClassLogits(num_classes),
  )


_INPUTS = {
  make.__name__: make
  for make in (learned_pixels, fourier_pixels, conv_features)
}


def image_classifier(
  *,
  inputs: Mapping[str, Any],
  encoder: Mapping[str, Any],
  decoder: Mapping[str, Any] | None,
  num_classes: int,
  dtype: Dtype | None = None,
) -> Perceiver | PooledPerceiver:
  """Builds a classifier of images from plain data, see `variants`.

  Args:
    inputs: `kind`, one of 'learned_pixels', 'fourier_pixels' and
      'conv_features', and the arguments of the function of that name.
    encoder: the arguments of `encoder`.
    decoder: query_channels and use_query_residual of `classifier`; None for
      the original Perceiver's mean over latents.
    num_classes: logits.
    dtype: to compute in.

  Raises:
    ValueError: for another kind of inputs.
  """
  options = dict(inputs)
  kind = options.pop('kind')
  if kind not in _INPUTS:
    raise ValueError(
      f'inputs.kind: found {kind!r}; expected one of {sorted(_INPUTS)}.'
    )
  made_inputs = _INPUTS[kind](**options, dtype=dtype)
  made_encoder = encoders.encoder(**encoder, dtype=dtype)
  if decoder is None:
    return PooledPerceiver(
      inputs=made_inputs,
      encoder=made_encoder,
      outputs=outputs_lib.MeanLogits(num_classes),
    )
  return classifier(
    inputs=made_inputs,
    encoder=made_encoder,
    num_classes=num_classes,
    **decoder,
  )

"""Sound, with or without video, and its labels (section 4.7, appendix C).

Jaegle et al. 2021b: a learned query asks for the logits of all classes.

Letters: B batch, S samples, T frames, F bands of a spectrogram, C channels.
"""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn

from perceiver_io import inputs as inputs_lib
from perceiver_io import models
from perceiver_io import outputs as outputs_lib
from perceiver_io.multimodal import MultimodalInputs
from perceiver_io.perceiver import Perceiver, PooledPerceiver
from perceiver_io.position_encoding import FourierPositions

Dtype = jax.typing.DTypeLike


def waveform(samples_per_patch: int, num_bands: int) -> inputs_lib.GridInputs:
  """Samples [B, S], so many consecutive ones to an input."""
  return inputs_lib.GridInputs(
    inputs_lib.AudioPatches(samples_per_patch), FourierPositions(num_bands)
  )


class Points(nn.Module):
  """Every number of a grid by itself."""

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Maps [B, ...] to [B, ..., 1]."""
    del train
    return x[..., None]


def spectrogram(num_bands: int) -> inputs_lib.GridInputs:
  """Spectrograms [B, T, F], each number an input of its own."""
  return inputs_lib.GridInputs(Points(), FourierPositions(num_bands))


def spectrogram_frames(
  frames_per_patch: int, num_bands: int
) -> inputs_lib.GridInputs:
  """Spectrograms [B, T, F], so many consecutive frames to an input."""
  return inputs_lib.GridInputs(
    inputs_lib.AudioPatches(frames_per_patch), FourierPositions(num_bands)
  )


def video(spatial: int, temporal: int, num_bands: int) -> inputs_lib.GridInputs:
  """Videos [B, T, H, W, 3], a patch of pixels and frames to an input."""
  return inputs_lib.GridInputs(
    inputs_lib.Patches(spatial, temporal), FourierPositions(num_bands)
  )


_INPUTS = {
  make.__name__: make
  for make in (waveform, spectrogram, spectrogram_frames, video)
}


def classifier(
  *,
  modalities: Mapping[str, Mapping[str, Any]],
  encoder: Mapping[str, Any],
  num_classes: int,
  query_channels: int | None,
  dtype: Dtype | None = None,
) -> Perceiver | PooledPerceiver:
  """Maps {modality: array} to logits [B, num_classes]; of plain data.

  Args:
    modalities: for each `kind`, the name of one of the functions above, and
      its arguments.
    encoder: the arguments of `models.encoder`.
    num_classes: logits.
    query_channels: of the query, 1,024; None for the original Perceiver's mean
      over latents.
    dtype: to compute in.

  Raises:
    ValueError: naming the modality of another kind.
  """
  inputs = MultimodalInputs(
    {name: _make_inputs(name, section) for name, section in modalities.items()}
  )
  made_encoder = models.encoder(**encoder, dtype=dtype)
  if query_channels is None:
    return PooledPerceiver(
      inputs, made_encoder, outputs_lib.MeanLogits(num_classes)
    )
  return models.classifier(
    inputs=inputs,
    encoder=made_encoder,
    num_classes=num_classes,
    query_channels=query_channels,
    use_query_residual=True,
  )


def _make_inputs(name: str, section: Mapping[str, Any]):
  options = dict(section)
  kind = options.pop('kind')
  if kind not in _INPUTS:
    raise ValueError(
      f'modalities.{name}.kind: found {kind!r}; expected one of '
      f'{sorted(_INPUTS)}.'
    )
  return _INPUTS[kind](**options)

"""Sound, with or without video, and its labels (section 4.7, appendix C).

Jaegle et al. 2021b: a learned query asks for the logits of all classes.

Letters: B batch, S samples, T frames, F bands of a spectrogram, C channels.
"""

from collections.abc import Mapping

import jax
from flax import linen as nn

from perceiver_io import inputs as inputs_lib
from perceiver_io import models
from perceiver_io.multimodal import MultimodalInputs
from perceiver_io.perceiver import Encoder, Perceiver
from perceiver_io.position_encoding import FourierPositions


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


def classifier(
  *,
  modalities: Mapping[str, inputs_lib.GridInputs],
  encoder: Encoder,
  num_classes: int,
  query_channels: int,
) -> Perceiver:
  """Maps {modality: array} to logits [B, num_classes].

  Args:
    modalities: the module for the inputs of each, of those above.
    encoder: see `models.encoder`.
    num_classes: logits.
    query_channels: of the query; 1,024.
  """
  return models.classifier(
    inputs=MultimodalInputs(dict(modalities)),
    encoder=encoder,
    num_classes=num_classes,
    query_channels=query_channels,
    use_query_residual=True,
  )

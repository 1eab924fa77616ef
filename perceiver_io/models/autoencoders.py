"""The autoencoder of video, audio and label."""

import jax

from perceiver_io import inputs as inputs_lib
from perceiver_io import outputs as outputs_lib
from perceiver_io import queries as queries_lib
from perceiver_io.models import encoders
from perceiver_io.multimodal import (
  ModalityPadding,
  MultimodalInputs,
  MultimodalPerceiver,
)
from perceiver_io.perceiver import Encoder
from perceiver_io.position_encoding import FourierPositions

Dtype = jax.typing.DTypeLike


def multimodal(
  *,
  video_size: tuple[int, int, int],
  num_audio_samples: int,
  num_classes: int,
  encoder: Encoder,
  spatial_patch: int = 4,
  samples_per_patch: int = 16,
  image_bands: int = 32,
  audio_bands: int = 192,
  label_query_channels: int = 1024,
  output_channels: int = 512,
  input_padding: int = 4,
  query_padding: int = 2,
  half_open_points: bool = False,
  dtype: Dtype | None = None,
) -> MultimodalPerceiver:
  """The autoencoder of video, audio and label (section 4.3).

  Inputs and outputs are 'image' [B, T, H, W, 3] in [0, 1], 'audio' [B, S, 1]
  in [-1, 1] and 'label' [B, num_classes]. Image points index pixels, audio
  points patches. Outputs are 'image' [B, O, 3], 'audio' [B, O * samples] and
  logits 'label' [B, num_classes].

  Args:
    video_size: frames, height, width.
    num_audio_samples: S.
    num_classes: of the label.
    encoder: see `encoder`.
    spatial_patch: side of the patches of the image inputs.
    samples_per_patch: of audio, in and out.
    image_bands, audio_bands: of the Fourier features.
    label_query_channels: of the label's learned query.
    output_channels: common to all modalities, before their own last maps.
    input_padding, query_padding: see `ModalityPadding`.
    half_open_points: True for the published model; see `FourierPositions`.
  """
  frames, height, width = video_size
  grid = (frames, height // spatial_patch, width // spatial_patch)
  num_patches = num_audio_samples // samples_per_patch
  image_positions = FourierPositions(
    image_bands, grid, half_open_points=half_open_points
  )
  audio_positions = FourierPositions(
    audio_bands, (num_audio_samples,), half_open_points=half_open_points
  )
  return MultimodalPerceiver(
    inputs=MultimodalInputs(
      modalities={
        'audio': inputs_lib.GridInputs(
          inputs_lib.AudioPatches(samples_per_patch), audio_positions
        ),
        'image': inputs_lib.GridInputs(
          inputs_lib.Patches(spatial_patch), image_positions
        ),
        'label': inputs_lib.OneHotLabel(num_classes),
      },
      min_padding_size=input_padding,
      maskable=True,
    ),
    encoder=encoder,
    queries={
      'audio': queries_lib.PositionQueries((num_patches,), audio_positions),
      'image': queries_lib.PositionQueries(video_size, image_positions),
      'label': queries_lib.LearnedQueries(1, label_query_channels),
    },
    padding=ModalityPadding(query_padding),
    decoder=encoders.decoder(encoder, use_query_residual=False),
    projection=outputs_lib.Projection(output_channels, dtype),
    outputs={
      'audio': outputs_lib.AudioSamples(samples_per_patch),
      'image': outputs_lib.Projection(3),
      'label': outputs_lib.ClassLogits(num_classes),
    },
  )

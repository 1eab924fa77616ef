"""The published models, assembled from their sizes.

What all published models of a kind share is written here; the numbers in which
they differ are arguments, and the values of those in configs/perceiver_io.

`implementation`, `fold_projections` and `dtype` are everywhere those of
`attention.Attention`.
"""

import jax

from perceiver_io import inputs as inputs_lib
from perceiver_io import outputs as outputs_lib
from perceiver_io import queries as queries_lib
from perceiver_io.attention import CrossAttention, SelfAttention
from perceiver_io.convolution import ConvDownsample
from perceiver_io.multimodal import (
  ModalityPadding,
  MultimodalInputs,
  MultimodalPerceiver,
)
from perceiver_io.perceiver import Encoder, LanguageModel, Perceiver
from perceiver_io.position_encoding import (
  FourierPositions,
  LearnedPositions,
  ProjectedPositions,
)
from perceiver_paca.ops.attention import Implementation

Dtype = jax.typing.DTypeLike


def masked_language_modelling(
  *,
  vocab_size: int,
  max_length: int,
  token_channels: int,
  num_latents: int,
  latent_channels: int,
  qk_channels: int,
  num_heads: int,
  num_self_attends: int,
  embedding_stddev: float = 1.0,
  scan_layers: bool = False,
  remat_policy: str = 'everything_saveable',
  implementation: Implementation = 'auto',
  fold_projections: bool = True,
  dtype: Dtype | None = None,
) -> LanguageModel:
  """The masked language model (Jaegle et al. 2021b, section 4.1, table 11).

  Args:
    vocab_size: 262 for bytes, 32,000 for SentencePiece.
    max_length: tokens of the longest sequence, also the number of queries.
    token_channels: of embeddings, positions, queries and the decoder's values.
    num_latents, latent_channels: the latent array; its values are as wide.
    qk_channels: of queries and keys, everywhere.
    num_heads: everywhere.
    num_self_attends: layers.
    embedding_stddev: of the embeddings at first, fifty times the positions' as
      published. Where both are as large, a small model learns sooner to tell
      positions apart.
    scan_layers, remat_policy: see `perceiver.Encoder`.
  """
  cross_attend = CrossAttention(
    num_heads=num_heads,
    qk_channels=qk_channels,
    v_channels=latent_channels,
    implementation=implementation,
    fold_projections=fold_projections,
    dtype=dtype,
  )
  return LanguageModel(
    inputs=inputs_lib.TokenInputs(
      vocab_size, token_channels, max_length, embedding_stddev, dtype
    ),
    encoder=Encoder(
      num_latents=num_latents,
      latent_channels=latent_channels,
      cross_attend=cross_attend,
      self_attend=SelfAttention(
        num_heads=num_heads,
        qk_channels=qk_channels,
        v_channels=latent_channels,
        implementation=implementation,
        dtype=dtype,
      ),
      num_self_attends_per_block=num_self_attends,
      scan_layers=scan_layers,
      remat_policy=remat_policy,
    ),
    queries=queries_lib.LearnedQueries(max_length, token_channels),
    decoder=cross_attend.copy(
      v_channels=token_channels, use_query_residual=False
    ),
    outputs=outputs_lib.TokenLogits(),
  )


def encoder(
  *,
  num_latents: int,
  latent_channels: int,
  num_self_attends_per_block: int,
  num_blocks: int = 1,
  num_self_attend_heads: int = 8,
  num_cross_attend_heads: int = 1,
  self_attend_widening_factor: int = 1,
  num_cross_attends: int = 1,
  share_weights: bool = True,
  scan_layers: bool = False,
  remat_policy: str = 'everything_saveable',
  implementation: Implementation = 'auto',
  fold_projections: bool = True,
  dtype: Dtype | None = None,
) -> Encoder:
  """The encoder of everything but language, published with one head for inputs.

  Its keys and values are as wide as the inputs. Arguments: see
  `perceiver.Encoder`.
  """
  return Encoder(
    num_latents=num_latents,
    latent_channels=latent_channels,
    cross_attend=CrossAttention(
      num_heads=num_cross_attend_heads,
      implementation=implementation,
      fold_projections=fold_projections,
      dtype=dtype,
    ),
    self_attend=SelfAttention(
      num_heads=num_self_attend_heads,
      widening_factor=self_attend_widening_factor,
      implementation=implementation,
      dtype=dtype,
    ),
    num_self_attends_per_block=num_self_attends_per_block,
    num_blocks=num_blocks,
    num_cross_attends=num_cross_attends,
    share_weights=share_weights,
    scan_layers=scan_layers,
    remat_policy=remat_policy,
  )


def _decoder(encoder: Encoder, use_query_residual: bool) -> CrossAttention:
  """One head, as wide as the latents; computes as the encoder does."""
  return encoder.cross_attend.copy(
    use_query_residual=use_query_residual, widening_factor=1
  )


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
    inputs: `learned_pixels`, `fourier_pixels` or `conv_features`; for AudioSet
      (section 4.7) `MultimodalInputs`.
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
    decoder=_decoder(encoder, use_query_residual),
    outputs=outputs_lib.ClassLogits(num_classes),
  )


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
    decoder=_decoder(encoder, use_query_residual=False),
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
    decoder=_decoder(encoder, use_query_residual=False),
    outputs=outputs_lib.ConvexFlow(height // 4, width // 4, channels=channels),
  )


def _flow_queries(concatenate: bool):
  if concatenate:
    return queries_lib.InputQueries()
  return queries_lib.FirstFrameQueries()


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
    decoder=_decoder(encoder, use_query_residual=False),
    projection=outputs_lib.Projection(output_channels, dtype),
    outputs={
      'audio': outputs_lib.AudioSamples(samples_per_patch),
      'image': outputs_lib.Projection(3),
      'label': outputs_lib.ClassLogits(num_classes),
    },
  )

"""The encoder and the decoder of everything but language."""

import jax

from perceiver_io.attention import CrossAttention, SelfAttention
from perceiver_io.perceiver import Encoder
from perceiver_paca.ops.attention import Implementation

Dtype = jax.typing.DTypeLike


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
  cross_attends_first: bool = False,
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
    cross_attends_first=cross_attends_first,
    share_weights=share_weights,
    scan_layers=scan_layers,
    remat_policy=remat_policy,
  )


def decoder(encoder: Encoder, use_query_residual: bool) -> CrossAttention:
  """One head, as wide as the latents; computes as the encoder does."""
  return encoder.cross_attend.copy(
    use_query_residual=use_query_residual, widening_factor=1
  )

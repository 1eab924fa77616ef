"""The masked language model."""

import jax

from perceiver_io import inputs as inputs_lib
from perceiver_io import outputs as outputs_lib
from perceiver_io import queries as queries_lib
from perceiver_io.attention import CrossAttention, SelfAttention
from perceiver_io.perceiver import Encoder, LanguageModel
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

"""Encode, process, decode (Jaegle et al. 2021b, section 3).

Letters: B batch, M inputs, N latents, D their channels, O queries, C channels.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_io import initializers
from perceiver_io.attention import CrossAttention, SelfAttention
from perceiver_io.inputs import TokenInputs
from perceiver_io.outputs import TokenLogits
from perceiver_io.queries import LearnedQueries

_KEEP_ALL = 'everything_saveable'


class Encoder(nn.Module):
  """Learned latents query the inputs, then attend to each other.

  Each of `num_blocks` blocks is `num_self_attends_per_block` self-attends. In
  Perceiver IO only the first block is preceded by a cross-attend. The original
  Perceiver (Jaegle et al. 2021a) repeats it before further blocks, with weights
  of its own for the first one (its appendix, tables 6 and 7).

  Attributes:
    num_latents: N.
    latent_channels: D.
    cross_attend: what every cross-attend is a copy of; used with
      `use_query_residual` True in all published models.
    self_attend: what every self-attend is a copy of.
    num_self_attends_per_block: layers of a block.
    num_blocks: repetitions of the block.
    num_cross_attends: how many of the blocks, from the first on, begin with a
      cross-attend.
    cross_attends_first: all of them come before the first block instead.
    share_weights: all blocks are the same layers, and all cross-attends but the
      first are. If False, each has its own.
    scan_layers: make the self-attends a loop over one layer, which compiles
      several times faster. Results are the same; the parameters are stacked, in
      `stacked_self_attend`, and nothing inside of a layer can be captured.
    remat_policy: what a layer keeps for the backward pass, which computes the
      rest again: a name in `jax.checkpoint_policies`, such as
      'nothing_saveable' or 'dots_with_no_batch_dims_saveable'.
  """

  num_latents: int
  latent_channels: int
  cross_attend: CrossAttention
  self_attend: SelfAttention
  num_self_attends_per_block: int
  num_blocks: int = 1
  num_cross_attends: int = 1
  cross_attends_first: bool = False
  share_weights: bool = True
  scan_layers: bool = False
  remat_policy: str = _KEEP_ALL

  @nn.compact
  def __call__(
    self, inputs: jax.Array, input_mask: jax.Array | None = None
  ) -> jax.Array:
    """Maps inputs [B, M, C] to latents [B, N, D].

    Args:
      inputs: [B, M, C].
      input_mask: [B, M], 1 for the inputs that count. The latents of an example
        that has none gather nothing (but are processed).
    """
    most = math.inf if self.cross_attends_first else self.num_blocks
    if not 1 <= self.num_cross_attends <= most:
      raise ValueError(
        f'num_cross_attends: found {self.num_cross_attends}, expected 1 to '
        f'num_blocks = {self.num_blocks}.'
      )
    latents = self.param(
      'latents',
      initializers.learned_array,
      (self.num_latents, self.latent_channels),
      jnp.float32,
    )
    x = jnp.broadcast_to(latents, (inputs.shape[0], *latents.shape))
    size = self.num_self_attends_per_block
    shared = self.share_weights
    num_layers = size if shared else size * self.num_blocks
    process = self._scanned if self.scan_layers else self._unrolled
    process = process(x, num_layers)
    cross_attends = [
      self.cross_attend.copy(name=f'cross_attend_{i}')
      for i in range(
        min(2, self.num_cross_attends) if shared else self.num_cross_attends
      )
    ]
    for i in range(self.num_cross_attends):
      cross_attend = cross_attends[min(i, len(cross_attends) - 1)]
      x = cross_attend(x, inputs, input_mask=input_mask)
      is_last = i + 1 == self.num_cross_attends
      if self.cross_attends_first and not is_last:
        continue
      begin = 0 if self.cross_attends_first else i
      # The blocks up to the next cross-attend.
      end = self.num_blocks if is_last else i + 1
      if shared:
        x = process(x, slice(size), end - begin)
      else:
        x = process(x, slice(begin * size, end * size), 1)
    return x

  def _unrolled(self, x: jax.Array, num_layers: int):
    """Returns (x, layers, num_times) -> x, those layers applied in turn."""
    self_attends = [
      self.self_attend.copy(name=f'self_attend_{i}') for i in range(num_layers)
    ]

    def apply(layer, x):
      return layer(x)

    if self.remat_policy != _KEEP_ALL:
      apply = nn.remat(apply, policy=self._policy())

    def process(x, layers, num_times):
      for layer in self_attends[layers] * num_times:
        x = apply(layer, x)
      return x

    return process

  def _scanned(self, x: jax.Array, num_layers: int):
    """As `_unrolled`, one layer in a loop over the parameters of all."""
    self_attend = self.self_attend.clone(parent=None, name=None)

    def init(rng, x):
      rngs = jax.random.split(rng, num_layers)
      return jax.vmap(lambda rng: self_attend.init(rng, x)['params'])(rngs)

    stacked = self.param('stacked_self_attend', init, x)

    def apply(x, params):
      return self_attend.apply({'params': params}, x), None

    if self.remat_policy != _KEEP_ALL:
      apply = jax.checkpoint(apply, policy=self._policy())

    def process(x, layers, num_times):
      # One loop, not two: what a layer keeps for the backward pass would be
      # copied from the inner loop's arrays to the outer one's, and back.
      params = jax.tree.map(
        lambda p: jnp.concatenate([p[layers]] * num_times), stacked
      )
      return jax.lax.scan(apply, x, params)[0]

    return process

  def _policy(self):
    policy = getattr(jax.checkpoint_policies, self.remat_policy, None)
    if policy is None:
      raise ValueError(
        f'remat_policy: found {self.remat_policy!r}, expected a name in '
        'jax.checkpoint_policies.'
      )
    return policy


class Perceiver(nn.Module):
  """Perceiver IO: any inputs, any outputs.

  Attributes:
    inputs: maps what the task has to an array [B, M, C].
    encoder: maps it to latents.
    queries: maps the inputs [B, M, C] (and points, if it takes any) to queries.
    decoder: the cross-attend of the queries to the latents.
    outputs: maps what the queries found, [B, O, C], to what the task wants.
  """

  inputs: nn.Module
  encoder: Encoder
  queries: nn.Module
  decoder: CrossAttention
  outputs: nn.Module

  def __call__(
    self,
    x: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    query_mask: jax.Array | None = None,
    train: bool = False,
  ) -> jax.Array:
    """Encodes, processes, decodes.

    Args:
      x: what `inputs` takes.
      input_mask: [B, M], 1 for the inputs that count.
      query_mask: [B, O], 1 for the queries that count.
      train: whether batch statistics, if there are any, are the batch's.
    """
    inputs = self.inputs(x, train=train)
    latents = self.encoder(inputs, input_mask)
    x = self.decoder(self.queries(inputs), latents, query_mask=query_mask)
    return self.outputs(x)


class PooledPerceiver(nn.Module):
  """The original Perceiver, which has no queries (Jaegle et al. 2021a).

  Attributes:
    inputs, encoder: as `Perceiver`'s.
    outputs: maps the latents [B, N, D] to what the task wants.
  """

  inputs: nn.Module
  encoder: Encoder
  outputs: nn.Module

  def __call__(
    self,
    x: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    train: bool = False,
  ) -> jax.Array:
    """As `Perceiver`."""
    return self.outputs(self.encoder(self.inputs(x, train=train), input_mask))


class LanguageModel(nn.Module):
  """Tokens in, logits of tokens out, for masked language modelling.

  Attributes: as `Perceiver`'s. `queries` has one for every position of the
  longest sequence; `outputs` takes the inputs' embedding.
  """

  inputs: TokenInputs
  encoder: Encoder
  queries: LearnedQueries
  decoder: CrossAttention
  outputs: TokenLogits

  def __call__(
    self,
    ids: jax.Array,
    *,
    input_mask: jax.Array | None = None,
    query_mask: jax.Array | None = None,
    points: jax.Array | None = None,
  ) -> jax.Array:
    """Maps ids [B, M] to logits [B, O, V].

    Args:
      ids: token ids.
      input_mask: [B, M], 1 for tokens, 0 for padding.
      query_mask: [B, O], 1 for the positions to decode; the reference code
        passes the input mask. Logits of the others are meaningless.
      points: positions to decode [B, O]; None for all M.
    """
    inputs = self.inputs(ids)
    latents = self.encoder(inputs, input_mask)
    queries = self.queries(inputs, points)
    if points is None:
      queries = queries[:, : ids.shape[1]]
    x = self.decoder(queries, latents, query_mask=query_mask)
    return self.outputs(x, self.inputs.embedding)

"""Sets of entities: embed them, let them look at each other, point at some.

Nothing here knows an order of the entities: permuted entities give permuted
outputs. What `EntityPolicy` calls an encoder is what AlphaStar's (Vinyals et
al. 2019) is, a map of embedded entities to new ones; Perceiver IO takes its
place in Jaegle et al. 2021b, appendix B.

Letters: B batch, M entities, K categories and F numbers of an entity, L
locations, C channels.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_io import initializers, models
from perceiver_io.attention import CrossAttention
from perceiver_io.perceiver import Encoder

Dtype = jax.typing.DTypeLike
_NO_LOGIT = -1e9


class EntityInputs(nn.Module):
  """A linear map of an entity's numbers and its one-hot categories.

  Attributes:
    vocab_sizes: of the K categories.
    channels: C.
  """

  vocab_sizes: tuple[int, ...]
  channels: int
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, categories: jax.Array, numbers: jax.Array) -> jax.Array:
    """Maps integers [B, M, K] and floats [B, M, F] to [B, M, C]."""
    x = nn.Dense(self.channels, dtype=self.dtype, name='numbers')(numbers)
    for i, size in enumerate(self.vocab_sizes):
      x += nn.Embed(
        size, self.channels, dtype=self.dtype, name=f'category_{i}'
      )(categories[..., i])
    return x


class EntityPerceiver(nn.Module):
  """Latents query the entities, and the entities, as they were, the latents.

  Attributes:
    encoder: maps entities to latents.
    decoder: the cross-attend of the entities to the latents.
  """

  encoder: Encoder
  decoder: CrossAttention

  def __call__(self, entities: jax.Array, entity_mask: jax.Array) -> jax.Array:
    """Maps entities [B, M, C], of which those with 1 in entity_mask [B, M]
    count, to [B, M, C]."""
    latents = self.encoder(entities, entity_mask)
    return self.decoder(entities, latents, query_mask=entity_mask)


def make_perceiver(
  *,
  num_latents: int,
  latent_channels: int,
  num_self_attends: int,
  num_self_attend_heads: int,
  num_cross_attend_heads: int = 1,
  widening_factor: int = 1,
  fold_projections: bool = True,
  dtype: Dtype | None = None,
) -> EntityPerceiver:
  """The entity encoder of appendix B, of layers like ImageNet's (`encoder`).

  Args:
    num_cross_attend_heads: of encoder and decoder. With one, a latent sees a
      single mixture of all entities.
  """
  encoder = models.encoder(
    num_latents=num_latents,
    latent_channels=latent_channels,
    num_self_attends_per_block=num_self_attends,
    num_self_attend_heads=num_self_attend_heads,
    num_cross_attend_heads=num_cross_attend_heads,
    self_attend_widening_factor=widening_factor,
    fold_projections=fold_projections,
    dtype=dtype,
  )
  return EntityPerceiver(encoder=encoder, decoder=encoder.cross_attend.copy())


class Pointer(nn.Module):
  """Logits of choosing each of several things: scaled dot products."""

  channels: int
  dtype: Dtype | None = None

  @nn.compact
  def __call__(self, query: jax.Array, keys: jax.Array) -> jax.Array:
    """Maps query [B, C] and keys [B, O, C'] to float32 logits [B, O]."""
    query = nn.Dense(self.channels, dtype=self.dtype, name='query')(query)
    keys = nn.Dense(self.channels, dtype=self.dtype, name='key')(keys)
    logits = jnp.einsum(
      'bc,boc->bo', query, keys, preferred_element_type=jnp.float32
    )
    return logits / self.channels**0.5


class EntityPolicy(nn.Module):
  """Selects units, then points at what they shall act on.

  Around the encoder as in AlphaStar: of its outputs, rectified, a linear map
  gives each entity's embedding, and their mean the scene's. The scene selects
  the units; the scene and the mean of those selected choose the target, an
  entity or one of L locations.

  Attributes:
    inputs: embeds the entities.
    encoder: maps entities [B, M, C] and their mask [B, M] to [B, M, C].
    channels: of embeddings and pointers; 256 in AlphaStar.
    num_locations: L.
  """

  inputs: EntityInputs
  encoder: nn.Module
  channels: int
  num_locations: int
  dtype: Dtype | None = None

  def setup(self):
    def dense():
      return nn.Dense(self.channels, dtype=self.dtype)

    self.embedding, self.scene, self.chosen = dense(), dense(), dense()
    self.unit = Pointer(self.channels, self.dtype)
    self.target = Pointer(self.channels, self.dtype)
    self.locations = self.param(
      'locations',
      initializers.learned_array,
      (self.num_locations, self.channels),
      jnp.float32,
    )

  def __call__(
    self,
    categories: jax.Array,
    numbers: jax.Array,
    entity_mask: jax.Array,
    selected: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array]:
    """Returns logits of units [B, M] and of targets [B, M + L].

    Args:
      categories: [B, M, K].
      numbers: [B, M, F].
      entity_mask: [B, M], 1 for the entities that there are. Logits of the
        others are -1e9.
      selected: [B, M], 1 for the units whose target is asked for; the most
        probable one if None.
    """
    embeddings, scene = self.embed(categories, numbers, entity_mask)
    units = self.unit(scene, embeddings)
    units = jnp.where(entity_mask > 0, units, _NO_LOGIT)
    if selected is None:
      selected = jax.nn.one_hot(jnp.argmax(units, axis=-1), units.shape[-1])
    chosen = _mean(embeddings, selected)
    query = nn.relu(self.chosen(jnp.concatenate([scene, chosen], axis=-1)))
    locations = jnp.broadcast_to(
      self.locations.astype(embeddings.dtype),
      (embeddings.shape[0], *self.locations.shape),
    )
    targets = self.target(
      query, jnp.concatenate([embeddings, locations], axis=1)
    )
    exists = jnp.pad(
      entity_mask, ((0, 0), (0, self.num_locations)), constant_values=1
    )
    return units, jnp.where(exists > 0, targets, _NO_LOGIT)

  def embed(
    self, categories: jax.Array, numbers: jax.Array, entity_mask: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Embeddings of the entities [B, M, C] and of the whole scene [B, C]."""
    x = self.encoder(self.inputs(categories, numbers), entity_mask)
    embeddings = nn.relu(self.embedding(nn.relu(x)))
    return embeddings, nn.relu(self.scene(_mean(x, entity_mask)))


def _mean(x: jax.Array, weights: jax.Array) -> jax.Array:
  """The mean of x [B, M, C] weighted by [B, M]; 0 where all weights are."""
  weights = weights.astype(x.dtype)
  total = jnp.einsum('bm,bmc->bc', weights, x)
  return total / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1)

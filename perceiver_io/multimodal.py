"""Several modalities as one array: inputs, queries and an autoencoder.

Modalities are named, and always taken in the sorted order of their names.
Arrays of different widths are padded to one by vectors that are learned, one
for each modality, and that also tell the modalities apart (Jaegle et al. 2021b,
appendix D).

Letters: B batch, M inputs, O queries, C channels.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from perceiver_io import initializers
from perceiver_io.attention import CrossAttention
from perceiver_io.perceiver import Encoder

Arrays = dict[str, jax.Array]


def _check_modalities(
  what: str, found: Iterable[str], expected: Iterable[str]
) -> None:
  if set(found) != set(expected):
    raise ValueError(
      f'{what}: found modalities {sorted(found)}, expected {sorted(expected)}.'
    )


class ModalityPadding(nn.Module):
  """Pads all modalities to one width.

  Attributes:
    min_padding_size: channels that the widest modality is padded by.
  """

  min_padding_size: int

  @nn.compact
  def __call__(self, arrays: Arrays) -> Arrays:
    """Maps {m: [B, N_m, C_m]} to {m: [B, N_m, C]}, in sorted order."""
    channels = max(x.shape[-1] for x in arrays.values()) + self.min_padding_size
    padded = {}
    for name, x in sorted(arrays.items()):
      padding = self.param(
        name,
        initializers.learned_array,
        (channels - x.shape[-1],),
        jnp.float32,
      ).astype(x.dtype)
      padding = jnp.broadcast_to(padding, (*x.shape[:2], *padding.shape))
      padded[name] = jnp.concatenate([x, padding], axis=-1)
    return padded


class MultimodalInputs(nn.Module):
  """Inputs of all modalities, side by side.

  Attributes:
    modalities: the module for the inputs of each modality.
    min_padding_size: see `ModalityPadding`; 4 in the published models.
    maskable: give each modality a vector that stands for a masked input.
  """

  modalities: dict[str, nn.Module]
  min_padding_size: int = 4
  maskable: bool = False

  @nn.compact
  def __call__(
    self,
    x: Mapping[str, Any],
    mask_probs: Mapping[str, float] | None = None,
    train: bool = False,
  ) -> jax.Array:
    """Maps {m: what its module takes} to [B, sum of M_m, C].

    Args:
      x: the raw inputs by modality.
      mask_probs: the probability with which an input of a modality is replaced
        by its mask vector, as a whole; 0 for those not named. Strictly between
        0 and 1 it draws from the rng 'mask', in training and evaluation.
      train: passed on to the modules.

    Raises:
      ValueError: for unknown or missing modalities.
    """
    _check_modalities('inputs', x, self.modalities)
    arrays = ModalityPadding(self.min_padding_size, name='padding')(
      {
        name: module(x[name], train=train)
        for name, module in self.modalities.items()
      }
    )
    if self.maskable:
      arrays = _MaskTokens(name='mask')(arrays, mask_probs or {})
    elif mask_probs:
      raise ValueError(
        f'mask_probs: found {dict(mask_probs)}, expected none: the inputs are '
        'not maskable.'
      )
    return jnp.concatenate(list(arrays.values()), axis=1)


class _MaskTokens(nn.Module):
  """Replaces inputs, at random, by a vector of their modality."""

  @nn.compact
  def __call__(self, arrays: Arrays, mask_probs: Mapping[str, float]) -> Arrays:
    if unknown := set(mask_probs) - set(arrays):
      raise ValueError(
        f'mask_probs: found modalities {sorted(unknown)}, expected some of '
        f'{sorted(arrays)}.'
      )
    masked = {}
    for name, x in arrays.items():
      token = self.param(
        name, initializers.learned_array, x.shape[-1:], jnp.float32
      ).astype(x.dtype)
      probability = mask_probs.get(name, 0.0)
      if probability in (0, 1):
        replace = jnp.full(x.shape[:2], bool(probability))
      else:
        replace = jax.random.bernoulli(
          self.make_rng('mask'), probability, x.shape[:2]
        )
      masked[name] = jnp.where(replace[..., None], token, x)
    return masked


class MultimodalPerceiver(nn.Module):
  """Autoencodes several modalities (Jaegle et al. 2021b, section 4.3).

  Attributes:
    inputs: of all modalities.
    encoder: maps them to latents.
    queries: a module of `queries` for each modality.
    padding: pads the queries to one width; by 2 in the published model.
    decoder: the cross-attend of all queries to the latents.
    projection: a linear map of what they found, common to all modalities.
    outputs: a module of `outputs` for each modality.
  """

  inputs: MultimodalInputs
  encoder: Encoder
  queries: dict[str, nn.Module]
  padding: ModalityPadding
  decoder: CrossAttention
  projection: nn.Module
  outputs: dict[str, nn.Module]

  def __call__(
    self,
    x: Mapping[str, Any],
    *,
    points: Mapping[str, jax.Array] | None = None,
    mask_probs: Mapping[str, float] | None = None,
    train: bool = False,
  ) -> dict[str, Any]:
    """Maps inputs to outputs, both by modality.

    Args:
      x: the raw inputs.
      points: flat indices, [O] or [B, O], of the outputs wanted of a modality;
        all outputs of the modalities not named. (The reference code, given no
        points, splits the outputs by the sizes of the inputs.)
      mask_probs: see `MultimodalInputs`.
      train: passed on to the inputs.

    Raises:
      ValueError: for unknown or missing modalities.
    """
    inputs, latents = self.encode(x, mask_probs, train)
    return self.decode(inputs, latents, points)

  def encode(
    self,
    x: Mapping[str, Any],
    mask_probs: Mapping[str, float] | None = None,
    train: bool = False,
  ) -> tuple[jax.Array, jax.Array]:
    """The inputs' array [B, M, C] and the latents [B, N, D]."""
    inputs = self.inputs(x, mask_probs=mask_probs, train=train)
    return inputs, self.encoder(inputs)

  def decode(
    self,
    inputs: jax.Array,
    latents: jax.Array,
    points: Mapping[str, jax.Array] | None = None,
  ) -> dict[str, Any]:
    """The outputs, from what `encode` returns, of some or all points."""
    points = points or {}
    _check_modalities('outputs', self.outputs, self.queries)
    if unknown := set(points) - set(self.queries):
      raise ValueError(
        f'points: found modalities {sorted(unknown)}, expected some of '
        f'{sorted(self.queries)}.'
      )
    queries = {}
    for name, module in sorted(self.queries.items()):
      chosen = [points[name]] if name in points else []
      queries[name] = module(inputs, *chosen)
    queries = self.padding(queries)
    x = self.decoder(jnp.concatenate(list(queries.values()), axis=1), latents)
    x = self.projection(x)
    results, start = {}, 0
    for name, query in queries.items():
      size = query.shape[1]
      results[name] = self.outputs[name](x[:, start : start + size])
      start += size
    return results

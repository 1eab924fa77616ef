"""Classes or numbers of arrays: of each example, each element, or each query.

Time series, point clouds, tables and fields are read alike (Jaegle et al.
2021b, section 3): elements are features and the Fourier features of where they
are; the decoder asks one learned query, the elements, or given places. Without
a decoder it is the original Perceiver (2021a), which read point clouds so.

Letters: B batch, M elements, C channels, D dimensions, O outputs of an example,
K classes or numbers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import linen as nn

from perceiver_io import models
from perceiver_io.attention import CrossAttention
from perceiver_io.models import encoders
from perceiver_io.outputs import MeanLogits, Projection
from perceiver_io.perceiver import Encoder
from perceiver_io.position_encoding import fourier_features
from perceiver_io.queries import LearnedQueries
from train_lib import labels as labels_lib

PREDICTIONS = 'data.arrays.predictions'


class ArrayModel(nn.Module):
  """Perceiver IO on elements at places.

  Attributes:
    channels: that elements, and queries at given places, are mapped to; None to
      leave elements as they are.
    num_bands, max_resolution: of the places' Fourier features; one number of
      `max_resolution` for each of the D dimensions.
    encoder, decoder: as `Perceiver`'s; without a decoder, None, the outputs are
      of the mean over latents.
    num_outputs: K.
    dense: ask the places of `queries`, or the elements; else one learned query.
  """

  channels: int | None
  num_bands: int
  max_resolution: tuple[int, ...]
  encoder: Encoder
  decoder: CrossAttention | None
  num_outputs: int
  dense: bool

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    coordinates: jax.Array,
    input_mask: jax.Array,
    queries: jax.Array | None = None,
  ) -> jax.Array:
    """Returns [B, O, K] if `dense`, else [B, 1, K].

    Args:
      x: [B, M, C].
      coordinates: [B, M, D], in [-1, 1].
      input_mask: [B, M], 1 for the elements that count.
      queries: places [B, O, D]; None for the elements.
    """

    def features(places):
      return fourier_features(places, self.num_bands, self.max_resolution)

    inputs = jnp.concatenate([x, features(coordinates)], axis=-1)
    if self.channels is not None:
      inputs = nn.Dense(self.channels, name='inputs')(inputs)
    latents = self.encoder(inputs, input_mask)
    if self.decoder is None:
      return MeanLogits(self.num_outputs, name='outputs')(latents)[:, None]
    if not self.dense:
      asked = LearnedQueries(1, self.channels, name='query')(inputs)
    elif queries is None:
      asked = inputs
    else:
      asked = nn.Dense(self.channels, name='queries')(features(queries))
    return Projection(self.num_outputs, name='outputs')(
      self.decoder(asked, latents)
    )


@dataclasses.dataclass(frozen=True)
class Arrays:
  """Batch keys: `x` [B, M, C], `coordinates` [B, M, D], `input_mask` [B, M];
  `queries` [B, O, D] if places are asked; `label`, integer classes [B] or
  [B, O], or numbers [B, K] or [B, O, K]; `label_mask` as `label`; `mask` [B].

  Attributes:
    model: the model.
    labels: what the outputs are.
  """

  model: ArrayModel
  labels: labels_lib.Classes | labels_lib.Numbers

  @property
  def label_ranges(self):
    return self.labels.ranges

  def init(self, rng, batch):
    return self.model.init(rng, *self._inputs(batch))

  def loss(self, variables, batch, rng):
    del rng
    return self.labels.loss(*self._flat(variables, batch))

  def metrics(self, variables, batch):
    """Of classes loss and accuracy; of numbers the loss, and the root mean
    square and the mean size of the error in y's units."""
    return self.labels.metrics(*self._flat(variables, batch))

  def predict(self, variables, batch):
    """`logits`, or `numbers` in y's units, [B, K] or [B, O, K]."""
    outputs = self.model.apply(variables, *self._inputs(batch))
    outputs = outputs if self.model.dense else outputs[:, 0]
    return self.labels.predictions(outputs)

  def _inputs(self, batch):
    names = ('x', 'coordinates', 'input_mask', 'queries')
    return [batch.get(name) for name in names]

  def _flat(self, variables, batch):
    """Outputs [N, K] of all, and labels and their mask as one axis."""
    outputs = self.model.apply(variables, *self._inputs(batch))
    outputs = outputs.reshape(-1, outputs.shape[-1])
    known = batch['label_mask']
    mask = batch['mask'].reshape(-1, *(1,) * (known.ndim - 1)) * known
    return outputs, batch['label'].reshape(-1), mask.reshape(-1)


def make_task(
  config: ml_collections.ConfigDict, model: Mapping[str, Any]
) -> Arrays:
  """Builds the task.

  Args:
    config: kind, num_outputs, dense, y_mean, y_std, label_smoothing.
    model: channels, num_bands, max_resolution; encoder, the arguments of
      `models.encoder`; decoder, with use_query_residual, or None.

  Raises:
    ValueError: there is no decoder for queries, or no channels for them.
  """
  encoder = models.encoder(**model.encoder)
  decoder = None
  if model.decoder is not None:
    decoder = encoders.decoder(encoder, **model.decoder)
    if model.channels is None:
      raise ValueError(
        'config.model.channels: found None, expected those of queries, which '
        'config.model.decoder asks.'
      )
  elif config.dense:
    raise ValueError(
      'config.model.decoder: found None, which has one output for all of an '
      'example; y has one for each element or query.'
    )
  return Arrays(
    model=ArrayModel(
      channels=model.channels,
      num_bands=model.num_bands,
      max_resolution=tuple(model.max_resolution),
      encoder=encoder,
      decoder=decoder,
      num_outputs=config.num_outputs,
      dense=config.dense,
    ),
    labels=labels_lib.make_labels(config, config.num_outputs),
  )

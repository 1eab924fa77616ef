"""Masked language modelling (Jaegle et al. 2021b, section 4.1).

Letters: B batch, M tokens, O positions that are decoded, V ids of the
vocabulary.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from train_lib import losses, metrics
from train_lib import task as task_lib

PREDICTIONS = 'data.language.filled'


@dataclasses.dataclass(frozen=True)
class MaskedLanguageModelling:
  """Batch keys: `ids` [B, M] int32, some replaced by the mask's id; `targets`
  [B, M] int32, the ids before; `loss_mask` [B, M], 1 where they were replaced;
  `input_mask` [B, M], 0 for padding; `mask` [B].

  Attributes:
    model: maps ids [B, M], given `input_mask`, `query_mask` and `points`, to
      logits [B, O, V].
    unmasked_weight: of a token that was not masked in the loss, relative to one
      that was; 0 in the paper. Saying again what it reads teaches a small model
      within a thousand steps to carry tokens from inputs to outputs.
    vocab_size: V.
    max_masked: decode so many positions of an example in training, the masked
      ones; if more are masked, the last of them do not count in this step. None
      to decode all M, of which the loss then takes the masked ones.
  """

  model: nn.Module
  unmasked_weight: float
  vocab_size: int
  max_masked: int | None = None

  def __post_init__(self):
    if self.max_masked is not None and self.unmasked_weight:
      raise ValueError(
        f'max_masked: found {self.max_masked} beside unmasked_weight '
        f'{self.unmasked_weight}, for which all is decoded; expected None.'
      )

  @property
  def label_ranges(self):
    return {name: (self.vocab_size, None) for name in ('ids', 'targets')}

  def init(self, rng, batch):
    return self.model.init(rng, batch['ids'])

  def loss(self, variables, batch, rng):
    del rng  # The pipeline drew the masks.
    points, length = None, batch['ids'].shape[1]
    if self.max_masked is not None and self.max_masked < length:
      _, points = jax.lax.top_k(batch['loss_mask'], self.max_masked)
    loss, correct, masked = self._per_token(variables, batch, points)
    weight = masked
    if self.unmasked_weight:
      present = batch['input_mask'] * batch['mask'][:, None]
      weight = masked + self.unmasked_weight * (present - masked)
    return losses.masked_mean(loss, weight), task_lib.LossAux(
      model_state={},
      scalars={'accuracy': losses.masked_mean(correct, masked)},
      weight=jnp.sum(weight),
    )

  def metrics(self, variables, batch):
    """Of masked tokens: cross entropy in nats and accuracy."""
    loss, correct, masked = self._per_token(variables, batch)
    return {
      'loss': metrics.Mean.of(loss, masked),
      'accuracy': metrics.Mean.of(correct, masked),
    }

  def predict(self, variables, batch):
    """Logits [B, M, V]."""
    return {'logits': self._logits(variables, batch, None)}

  def _logits(self, variables, batch, points):
    # As the reference code does, padding is not decoded either.
    return self.model.apply(
      variables,
      batch['ids'],
      input_mask=batch['input_mask'],
      query_mask=_at(points, batch['input_mask']),
      points=points,
    )

  def _per_token(self, variables, batch, points=None) -> tuple[jax.Array, ...]:
    """Loss, correctness, and 1 for masked tokens that count [B, O]."""
    logits = self._logits(variables, batch, points)
    targets = _at(points, batch['targets'])
    loss = losses.softmax_cross_entropy(logits, targets)
    correct = jnp.argmax(logits, axis=-1) == targets
    masked = _at(points, batch['loss_mask']) * batch['mask'][:, None]
    return loss, correct.astype(loss.dtype), masked


def _at(points: jax.Array | None, x: jax.Array) -> jax.Array:
  """x [B, M] at points [B, O]; all of it for None."""
  return x if points is None else jnp.take_along_axis(x, points, axis=1)


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> MaskedLanguageModelling:
  """Reads make_model, a function's dotted name, unmasked_weight and max_masked;
  `model` are the function's arguments."""
  make_model = task_lib.function_named(config.make_model)
  return MaskedLanguageModelling(
    model=make_model(**model),
    unmasked_weight=config.unmasked_weight,
    vocab_size=model.vocab_size,
    max_masked=config.get('max_masked'),  # older runs have none
  )

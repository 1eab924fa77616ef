"""Masked language modelling (Jaegle et al. 2021b, section 4.1).

Letters: B batch, M tokens, V ids of the vocabulary.
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
    model: maps ids [B, M], given `input_mask` and `query_mask`, to logits
      [B, M, V].
    unmasked_weight: of a token that was not masked in the loss, relative to one
      that was; 0 in the paper. Saying again what it reads teaches a small model
      within a thousand steps to carry tokens from inputs to outputs.
    vocab_size: V.
  """

  model: nn.Module
  unmasked_weight: float
  vocab_size: int

  @property
  def label_ranges(self):
    return {name: (self.vocab_size, None) for name in ('ids', 'targets')}

  def init(self, rng, batch):
    return self.model.init(rng, batch['ids'])

  def loss(self, variables, batch, rng):
    del rng  # The pipeline drew the masks.
    loss, correct, masked = self._per_token(variables, batch)
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
    # As the reference code does, padding is not decoded either.
    logits = self.model.apply(
      variables,
      batch['ids'],
      input_mask=batch['input_mask'],
      query_mask=batch['input_mask'],
    )
    return {'logits': logits}

  def _per_token(self, variables, batch) -> tuple[jax.Array, ...]:
    """Loss, correctness, and 1 for masked tokens that count [B, M]."""
    logits = self.predict(variables, batch)['logits']
    loss = losses.softmax_cross_entropy(logits, batch['targets'])
    correct = jnp.argmax(logits, axis=-1) == batch['targets']
    masked = batch['loss_mask'] * batch['mask'][:, None]
    return loss, correct.astype(loss.dtype), masked


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> MaskedLanguageModelling:
  """Reads make_model, a function's dotted name, and unmasked_weight; `model`
  are the function's arguments."""
  make_model = task_lib.function_named(config.make_model)
  return MaskedLanguageModelling(
    model=make_model(**model),
    unmasked_weight=config.unmasked_weight,
    vocab_size=model.vocab_size,
  )

"""Behavioural cloning on sets of entities (Jaegle et al. 2021b, appendix B).

Letters: B batch, M entities, K categories and F numbers of an entity, L
locations.
"""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections

from perceiver_io.entities import EntityInputs, EntityPolicy
from train_lib import losses, metrics
from train_lib import task as task_lib

PREDICTIONS = 'data.entities.predictions'


@dataclasses.dataclass(frozen=True)
class BehaviouralCloning:
  """Batch keys: `categories` [B, M, K] integer; `numbers` [B, M, F];
  `entity_mask` [B, M], 0 for padding; `selected` [B, M], 1 for the units that
  the player selected, if any; `target` [B] integer, an entity, or M + a
  location, or -1 for none; `mask` [B].

  Attributes:
    model: the policy.
  """

  model: EntityPolicy

  def init(self, rng, batch):
    return self.model.init(rng, *_entities(batch))

  def loss(self, variables, batch, rng):
    """Of units and targets; several selected units share their probability."""
    del rng
    (unit_loss, unit, has_unit), (target_loss, target, has_target) = (
      self._per_example(variables, batch)
    )
    # Every example weighs the same, with or without a unit or a target.
    loss = unit_loss * (has_unit > 0) + target_loss * (has_target > 0)
    scalars = {
      'unit_accuracy': losses.masked_mean(unit, has_unit),
      'target_accuracy': losses.masked_mean(target, has_target),
    }
    return losses.masked_mean(loss, batch['mask']), task_lib.LossAux(
      model_state={}, scalars=scalars, weight=jnp.sum(batch['mask'])
    )

  def metrics(self, variables, batch):
    """Losses in nats and accuracies: of the unit (any of those selected), of
    the target given the selected units, and of both together."""
    (unit_loss, unit, has_unit), (target_loss, target, has_target) = (
      self._per_example(variables, batch)
    )
    return {
      'unit_loss': metrics.Mean.of(unit_loss, has_unit),
      'target_loss': metrics.Mean.of(target_loss, has_target),
      'unit_accuracy': metrics.Mean.of(unit, has_unit),
      'target_accuracy': metrics.Mean.of(target, has_target),
      'accuracy': metrics.Mean.of(unit * target, has_unit * has_target),
    }

  def predict(self, variables, batch):
    """Logits of units [B, M], and of the target [B, M + L] of the best one."""
    units, targets = self.model.apply(variables, *_entities(batch))
    return {'units': units, 'targets': targets}

  def _per_example(self, variables, batch) -> tuple[tuple[jax.Array, ...], ...]:
    """Loss, correctness and weight [B], of units and of targets."""
    selected, target = batch['selected'], batch['target']
    units, targets = self.model.apply(variables, *_entities(batch), selected)
    num_selected = jnp.sum(selected, axis=1)
    share = selected / jnp.maximum(num_selected, 1)[:, None]
    best = jnp.argmax(units, axis=-1)
    hit = jnp.take_along_axis(selected, best[:, None], axis=1)[:, 0]
    exists = (target >= 0) * batch['mask']
    return (
      losses.softmax_cross_entropy(units, share),
      hit,
      (num_selected > 0) * batch['mask'],
    ), (
      losses.softmax_cross_entropy(targets, jnp.maximum(target, 0)),
      (jnp.argmax(targets, axis=-1) == target).astype(jnp.float32),
      exists,
    )


def _entities(batch) -> tuple[jax.Array, jax.Array, jax.Array]:
  return batch['categories'], batch['numbers'], batch['entity_mask']


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> BehaviouralCloning:
  """Builds the task.

  Args:
    config: make_encoder, a function's dotted name.
    model: encoder, the function's arguments, and what is around it: see
      `EntityInputs` and `EntityPolicy`.
  """
  make_encoder = task_lib.function_named(config.make_encoder)
  dtype = model.dtype
  return BehaviouralCloning(
    model=EntityPolicy(
      inputs=EntityInputs(
        vocab_sizes=tuple(model.vocab_sizes),
        channels=model.entity_channels,
        dtype=dtype,
      ),
      encoder=make_encoder(**model.encoder, dtype=dtype),
      channels=model.channels,
      num_locations=model.num_locations,
      dtype=dtype,
    )
  )

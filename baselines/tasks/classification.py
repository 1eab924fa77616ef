"""Image classification with models that the papers compare with.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses

import flax.linen as nn
import ml_collections

from train_lib import labels
from train_lib import task as task_lib


@dataclasses.dataclass(frozen=True)
class Classification:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `label` [B] integer;
  `mask` [B].

  Attributes:
    model: maps images to logits [B, K], and has no state but parameters.
    labels: what the outputs are.
  """

  model: nn.Module
  labels: labels.Classes

  @property
  def label_ranges(self):
    return self.labels.ranges

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'])

  def loss(self, variables, batch, rng):
    del rng
    logits = self.model.apply(variables, batch['image'])
    return self.labels.loss(logits, batch['label'], batch['mask'])

  def metrics(self, variables, batch):
    logits = self.model.apply(variables, batch['image'])
    return self.labels.metrics(logits, batch['label'], batch['mask'])

  def predict(self, variables, batch):
    """`logits` [B, K]."""
    return self.labels.predictions(self.model.apply(variables, batch['image']))


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Classification:
  """Reads make_model, the dotted name of a function of the section `model`,
  and label_smoothing."""
  make_model = task_lib.function_named(config.make_model)
  return Classification(
    model=make_model(**model),
    labels=labels.Classes(model.num_classes, config.label_smoothing),
  )

"""Image classification with models that the papers compare with.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses

import flax.linen as nn
import ml_collections

from train_lib import classification
from train_lib import task as task_lib


@dataclasses.dataclass(frozen=True)
class Classification:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `label` [B] integer;
  `mask` [B].

  Attributes:
    model: maps images to logits [B, K], and has no state but parameters.
    num_classes: K.
    label_smoothing: in training.
  """

  model: nn.Module
  num_classes: int
  label_smoothing: float

  @property
  def label_ranges(self):
    return {'label': (self.num_classes, None)}

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'])

  def loss(self, variables, batch, rng):
    del rng
    return classification.make_loss(
      self.model.apply(variables, batch['image']),
      batch['label'],
      batch['mask'],
      label_smoothing=self.label_smoothing,
      model_state={},
    )

  def metrics(self, variables, batch):
    logits = self.model.apply(variables, batch['image'])
    return classification.make_metrics(logits, batch['label'], batch['mask'])

  def predict(self, variables, batch):
    """`logits` [B, K]."""
    return {'logits': self.model.apply(variables, batch['image'])}


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Classification:
  """Reads make_model, the dotted name of a function of the section `model`,
  and label_smoothing."""
  make_model = task_lib.function_named(config.make_model)
  return Classification(
    model=make_model(**model),
    num_classes=model.num_classes,
    label_smoothing=config.label_smoothing,
  )

"""Image classification with Perceiver IO and the original Perceiver.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses

import jax.numpy as jnp
import ml_collections

from perceiver_io import models
from perceiver_io.perceiver import Perceiver, PooledPerceiver
from train_lib import classification, mixing, regression

PREDICTIONS = 'data.images.predictions'


@dataclasses.dataclass(frozen=True)
class Classification:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `label` [B] integer,
  in training also [B, K] float targets, or [B] float32 if it is a number;
  `mask` [B].

  Attributes:
    model: the classifier.
    label_smoothing: of integer labels in training; targets, also those that
      `mixing` makes, are taken as they are.
    mixing: blends the images and labels of a training batch, and may make one
      of several neighbours; None: does not.
    scale: of a number, the model's only output; None for classes.
  """

  model: Perceiver | PooledPerceiver
  label_smoothing: float
  mixing: classification.Mixing | None
  scale: regression.Scale | None = None

  @property
  def label_ranges(self):
    if self.scale is not None:
      return {}
    return {'label': (self.model.outputs.num_classes, None)}

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'])

  def loss(self, variables, batch, rng):
    images, labels, mask = batch['image'], batch['label'], batch['mask']
    if self.mixing is not None:
      images, labels = self.mixing(rng, images, labels)
      mask = jnp.min(mask.reshape(len(labels), -1), axis=1)
    logits, model_state = self.model.apply(
      variables,
      images,
      train=True,
      mutable=[name for name in variables if name != 'params'],
    )
    if self.scale is not None:
      label, mask = labels[:, None], mask[:, None]
      return regression.make_loss(self.scale, logits, label, mask, model_state)
    return classification.make_loss(
      logits,
      labels,
      mask,
      label_smoothing=self.label_smoothing,
      model_state=model_state,
    )

  def metrics(self, variables, batch):
    logits = self.model.apply(variables, batch['image'])
    label, mask = batch['label'], batch['mask']
    if self.scale is not None:
      label, mask = label[:, None], mask[:, None]
      return regression.make_metrics(self.scale, logits, label, mask)
    return classification.make_metrics(logits, label, mask)

  def predict(self, variables, batch):
    """`logits` [B, K], or `numbers` [B, 1]."""
    outputs = self.model.apply(variables, batch['image'])
    if self.scale is not None:
      return {'numbers': self.scale.in_units(outputs)}
    return {'logits': outputs}


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Classification:
  """Builds the task.

  Args:
    config: label_smoothing, mixing or None, and what `regression.make_scale`
      reads.
    model: the arguments of `models.image_classifier`.
  """
  mix = None
  if config.mixing is not None:
    mix = mixing.HalvesMixing(
      **config.mixing,
      num_classes=model.num_classes,
      label_smoothing=config.label_smoothing,
    )
  return Classification(
    model=models.image_classifier(**model),
    label_smoothing=config.label_smoothing,
    mixing=mix,
    scale=regression.make_scale(config, model.num_classes),
  )

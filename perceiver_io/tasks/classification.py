"""Image classification with Perceiver IO and the original Perceiver.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses

import jax.numpy as jnp
import ml_collections

from perceiver_io import models
from perceiver_io.perceiver import Perceiver, PooledPerceiver
from train_lib import labels as labels_lib
from train_lib import mixing

PREDICTIONS = 'data.images.predictions'


@dataclasses.dataclass(frozen=True)
class Classification:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `label` [B] integer,
  in training also [B, K] float targets, or [B] float32 if it is a number;
  `mask` [B].

  Attributes:
    model: the classifier.
    labels: what the outputs are.
    mixing: blends the images and labels of a training batch, and may make one
      of several neighbours; None: does not.
  """

  model: Perceiver | PooledPerceiver
  labels: labels_lib.Classes | labels_lib.Numbers
  mixing: mixing.HalvesMixing | None

  @property
  def label_ranges(self):
    return self.labels.ranges

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'])

  def loss(self, variables, batch, rng):
    images, labels, mask = batch['image'], batch['label'], batch['mask']
    if self.mixing is not None:
      images, labels = self.mixing(rng, images, labels)
      mask = jnp.min(mask.reshape(len(labels), -1), axis=1)
    outputs, model_state = self.model.apply(
      variables,
      images,
      train=True,
      mutable=[name for name in variables if name != 'params'],
    )
    return self.labels.loss(outputs, labels, mask, model_state)

  def metrics(self, variables, batch):
    outputs = self.model.apply(variables, batch['image'])
    return self.labels.metrics(outputs, batch['label'], batch['mask'])

  def predict(self, variables, batch):
    """`logits` [B, K], or `numbers` [B, 1]."""
    return self.labels.predictions(self.model.apply(variables, batch['image']))


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Classification:
  """Builds the task.

  Args:
    config: mixing or None, and what `labels.make_labels` reads.
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
    labels=labels_lib.make_labels(config, model.num_classes),
    mixing=mix,
  )

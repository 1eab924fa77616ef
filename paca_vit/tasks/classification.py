"""Image classification with PaCa-ViT.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from paca_vit import classifier, kmeans
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
    mixing: blends the images and labels of a training batch; None: does not.
    start: see `train_lib.task.Task`.
    scale: of a number, the model's only output; None for classes.
  """

  model: classifier.PacaViT
  label_smoothing: float
  mixing: classification.Mixing | None
  start: Callable[..., Any] | None = None
  scale: regression.Scale | None = None

  @property
  def label_ranges(self):
    if self.scale is not None:
      return {}
    return {'label': (self.model.num_classes, None)}

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'], train=False)

  def loss(self, variables, batch, rng):
    images, labels = batch['image'], batch['label']
    mixing_rng, drop_path_rng = jax.random.split(rng)
    if self.mixing is not None:
      images, labels = self.mixing(mixing_rng, images, labels)
    logits, model_state = self.model.apply(
      variables,
      images,
      train=True,
      rngs={'drop_path': drop_path_rng},
      mutable=[name for name in variables if name != 'params'],
    )
    if self.scale is not None:
      label, mask = labels[:, None], batch['mask'][:, None]
      return regression.make_loss(self.scale, logits, label, mask, model_state)
    return classification.make_loss(
      logits,
      labels,
      batch['mask'],
      label_smoothing=self.label_smoothing,
      model_state=model_state,
    )

  def metrics(self, variables, batch):
    logits = self.model.apply(variables, batch['image'], train=False)
    label, mask = batch['label'], batch['mask']
    if self.scale is not None:
      label, mask = label[:, None], mask[:, None]
      return regression.make_metrics(self.scale, logits, label, mask)
    return classification.make_metrics(logits, label, mask)

  def predict(self, variables, batch):
    """`logits` [B, K], or `numbers` [B, 1], and `cluster_maps`, stage -> [B, M,
    H, W]."""
    logits, features = self.model.apply(
      variables, batch['image'], train=False, return_features=True
    )
    maps = {'cluster_maps': features.cluster_maps()}
    if self.scale is not None:
      return {'numbers': self.scale.in_units(logits)} | maps
    return {'logits': logits} | maps


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Classification:
  """Reads label_smoothing, mixing or None, and what `regression.make_scale`
  reads; model: see `make_classifier`."""
  mix = None
  if config.mixing is not None:
    mix = mixing.Mixing(
      **config.mixing,
      num_classes=model.num_classes,
      label_smoothing=config.label_smoothing,
    )
  network = classifier.make_classifier(model)
  return Classification(
    model=network,
    label_smoothing=config.label_smoothing,
    mixing=mix,
    start=kmeans.make_start(model, network),
    scale=regression.make_scale(config, model.num_classes),
  )

"""Image classification with PaCa-ViT.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import ml_collections

from paca_vit import classifier, kmeans
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
    mixing: blends the images and labels of a training batch; None: does not.
    start: see `train_lib.task.Task`.
  """

  model: classifier.PacaViT
  labels: labels_lib.Classes | labels_lib.Numbers
  mixing: mixing.Mixing | None
  start: Callable[..., Any] | None = None

  @property
  def label_ranges(self):
    return self.labels.ranges

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'], train=False)

  def loss(self, variables, batch, rng):
    images, labels = batch['image'], batch['label']
    mixing_rng, drop_path_rng = jax.random.split(rng)
    if self.mixing is not None:
      images, labels = self.mixing(mixing_rng, images, labels)
    outputs, model_state = self.model.apply(
      variables,
      images,
      train=True,
      rngs={'drop_path': drop_path_rng},
      mutable=[name for name in variables if name != 'params'],
    )
    return self.labels.loss(outputs, labels, batch['mask'], model_state)

  def metrics(self, variables, batch):
    outputs = self.model.apply(variables, batch['image'], train=False)
    return self.labels.metrics(outputs, batch['label'], batch['mask'])

  def predict(self, variables, batch):
    """`logits` [B, K], or `numbers` [B, 1], and `cluster_maps`, stage -> [B, M,
    H, W]."""
    outputs, features = self.model.apply(
      variables, batch['image'], train=False, return_features=True
    )
    maps = {'cluster_maps': features.cluster_maps()}
    return self.labels.predictions(outputs) | maps


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Classification:
  """Reads mixing or None, and what `labels.make_labels` reads; model: see
  `make_classifier`."""
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
    labels=labels_lib.make_labels(config, model.num_classes),
    mixing=mix,
    start=kmeans.make_start(model, network),
  )

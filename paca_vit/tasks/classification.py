"""Image classification with PaCa-ViT.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections

from paca_vit import classifier
from train_lib import losses, metrics, mixing
from train_lib import task as task_lib

# (rng, images, integer labels [B]) -> (images, targets [B, K])
Mixing = Callable[
  [jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]
]


@dataclasses.dataclass(frozen=True)
class Classification:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `label` [B] integer,
  in training also [B, K] float targets; `mask` [B].

  Attributes:
    model: the classifier.
    label_smoothing: of integer labels in training; targets, also those that
      `mixing` makes, are taken as they are.
    mixing: blends the images and labels of a training batch; None: does not.
  """

  model: classifier.PacaViT
  label_smoothing: float
  mixing: Mixing | None

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
    hard = labels.ndim == 1
    loss = losses.softmax_cross_entropy(
      logits, labels, self.label_smoothing if hard else 0.0
    )
    scalars = {}
    if hard:
      correct = (jnp.argmax(logits, axis=-1) == labels).astype(loss.dtype)
      scalars['accuracy'] = losses.masked_mean(correct, batch['mask'])
    return losses.masked_mean(loss, batch['mask']), task_lib.LossAux(
      model_state=model_state,
      scalars=scalars,
      weight=jnp.sum(batch['mask']),
    )

  def metrics(self, variables, batch):
    logits = self.model.apply(variables, batch['image'], train=False)
    labels, mask = batch['label'], batch['mask']
    loss = losses.softmax_cross_entropy(logits, labels)
    best = jax.lax.top_k(logits, min(5, self.model.num_classes))[1]
    hits = best == labels[:, None]
    result = {
      'loss': metrics.Mean.of(loss, mask),
      'accuracy': metrics.Mean.of(hits[:, 0], mask),
    }
    if self.model.num_classes > 5:
      result['top5'] = metrics.Mean.of(jnp.any(hits, axis=-1), mask)
    return result

  def predict(self, variables, batch):
    """Logits [B, K] and cluster maps, stage -> [B, M, H, W]."""
    logits, features = self.model.apply(
      variables, batch['image'], train=False, return_features=True
    )
    return {'logits': logits, 'cluster_maps': features.cluster_maps()}


def make_task(config: ml_collections.ConfigDict) -> Classification:
  """Reads config.model, config.label_smoothing and config.mixing or None."""
  mix = None
  if config.mixing is not None:
    mix = mixing.Mixing(
      **config.mixing,
      num_classes=config.model.num_classes,
      label_smoothing=config.label_smoothing,
    )
  return Classification(
    model=classifier.make_classifier(config.model),
    label_smoothing=config.label_smoothing,
    mixing=mix,
  )

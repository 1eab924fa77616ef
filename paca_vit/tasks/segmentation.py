"""Semantic segmentation with PaCa-ViT.

Shapes: B batch, H height, W width, C channels, K classes, M clusters.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from paca_vit import kmeans, segmentation
from perceiver_paca.ops import resize
from train_lib import losses, metrics
from train_lib.task import LossAux

PREDICTIONS = 'paca_vit.evaluators.mask_predictions'
_IGNORED = 255  # the label of pixels that do not count


@dataclasses.dataclass(frozen=True)
class Segmentation:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `label` [B, H, W]
  integer, 255 for pixels that do not count; `mask` [B].

  Both logits are brought to the labels' size. The loss is the mean over all
  pixels of the batch that count, or of all where the heads were published so.

  Attributes:
    model: the segmenter.
    num_classes: K.
    auxiliary_weight: of the cross entropy of the auxiliary logits.
    mean_over_ignored: pixels labelled 255 count as pixels with loss 0.
    start: see `train_lib.task.Task`.
  """

  model: segmentation.PacaSegmenter
  num_classes: int
  auxiliary_weight: float
  mean_over_ignored: bool
  start: Callable[..., Any] | None = None

  @property
  def label_ranges(self):
    return {'label': (self.num_classes, _IGNORED)}

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'], train=False)

  def loss(self, variables, batch, rng):
    drop_path_rng, dropout_rng = jax.random.split(rng)
    outputs, model_state = self.model.apply(
      variables,
      batch['image'],
      train=True,
      rngs={'drop_path': drop_path_rng, 'dropout': dropout_rng},
      mutable=[name for name in variables if name != 'params'],
    )
    main, accuracy, weight = self._cross_entropy(outputs.logits, batch)
    auxiliary, _, _ = self._cross_entropy(outputs.auxiliary_logits, batch)
    return main + self.auxiliary_weight * auxiliary, LossAux(
      model_state=model_state,
      scalars={
        'main_loss': main,
        'auxiliary_loss': auxiliary,
        'accuracy': accuracy,
      },
      weight=weight,
    )

  def metrics(self, variables, batch):
    logits = self.model.apply(variables, batch['image'], train=False).logits
    logits = _resize_like(logits, batch['label'])
    loss, labelled = self._pixel_losses(logits, batch)
    return {
      'loss': metrics.Mean(jnp.sum(loss), jnp.sum(labelled))
    } | make_metrics(
      jnp.argmax(logits, axis=-1),
      batch['label'],
      batch['mask'],
      self.num_classes,
    )

  def predict(self, variables, batch):
    """Logits [B, H, W, K] and cluster maps, stage -> [B, M, h, w].

    The stage 'head' has the assignment of the head's clusters, if it has any:
    where the labels supervise them, one for each class.
    """
    outputs, features = self.model.apply(
      variables, batch['image'], train=False, return_features=True
    )
    maps = features.cluster_maps()
    if outputs.auxiliary_logits is not None:
      clusters = outputs.auxiliary_logits.transpose(0, 3, 1, 2)
      weights = jax.nn.softmax(clusters.reshape(*clusters.shape[:2], -1))
      maps['head'] = weights.reshape(clusters.shape)
    return {
      'logits': _resize_like(outputs.logits, batch['image'][..., 0]),
      'cluster_maps': maps,
    }

  def _cross_entropy(self, logits, batch):
    """Mean loss and accuracy, and what they are means over."""
    logits = _resize_like(logits, batch['label'])
    loss, labelled = self._pixel_losses(logits, batch)
    hits = labelled * (jnp.argmax(logits, axis=-1) == batch['label'])
    num_labelled = jnp.sum(labelled)
    weight = num_labelled
    if self.mean_over_ignored:
      weight = jnp.sum(batch['mask']) * labelled[0].size
    weight = jnp.maximum(weight, 1)
    accuracy = jnp.sum(hits) / jnp.maximum(num_labelled, 1)
    return jnp.sum(loss) / weight, accuracy, weight

  def _pixel_losses(self, logits, batch):
    """[B, H, W]: cross entropy, 0 where nothing counts, and what counts."""
    labels = batch['label']
    labelled = (labels < self.num_classes) & (batch['mask'] > 0)[:, None, None]
    loss = losses.softmax_cross_entropy(logits, jnp.where(labelled, labels, 0))
    return jnp.where(labelled, loss, 0), labelled.astype(loss.dtype)


def make_metrics(
  predictions: jax.Array, labels: jax.Array, mask: jax.Array, num_classes: int
) -> dict[str, metrics.ConfusionMatrix]:
  """All from one confusion matrix of the data set.

  Args:
    predictions: classes [B, H, W].
    labels: [B, H, W], 255 for pixels that do not count.
    mask: [B], 1 for the examples that count.
    num_classes: K.
  """
  counts = metrics.ConfusionMatrix.of(
    predictions, labels, mask, num_classes
  ).counts
  return {
    'mean_iou': metrics.MeanIou(counts),
    'mean_class_accuracy': metrics.MeanClassAccuracy(counts),
    'accuracy': metrics.PixelAccuracy(counts),
  }


def _resize_like(logits, labels):
  if logits.shape[1:3] == labels.shape[1:]:
    return logits
  return resize.resize_bilinear(logits, labels.shape[1:])


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Segmentation:
  """Reads auxiliary_weight, mean_over_ignored; model: see `make_segmenter`."""
  head = model.decode_head
  if head.get('num_clusters', model.num_classes) != model.num_classes:
    raise ValueError(
      'config.model.decode_head.num_clusters: the labels supervise the '
      f'clusters; expected num_classes {model.num_classes}, found '
      f'{head.num_clusters}.'
    )
  segmenter = segmentation.make_segmenter(model)
  return Segmentation(
    model=segmenter,
    num_classes=model.num_classes,
    auxiliary_weight=config.auxiliary_weight,
    mean_over_ignored=config.mean_over_ignored,
    start=kmeans.make_start(model, segmenter),
  )

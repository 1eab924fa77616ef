"""Depth of each pixel with PaCa-ViT, in metres.

Shapes: B batch, H height, W width, C channels.
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

PREDICTIONS = 'paca_vit.evaluators.depth_predictions'


@dataclasses.dataclass(frozen=True)
class Depth:
  """Batch keys: `image` [B, H, W, C] float32, normalised; `depth` [B, H, W]
  float32, metres, 0 where it is not known; `mask` [B].

  The model's single output is log(depth / mean_depth).

  Attributes:
    model: a segmenter of one output without an auxiliary head.
    mean_depth: metres; of the training set.
    variance_focus: lambda of the scale-invariant loss: 1 ignores the scale of
      an image's depth, 0 is the plain squared error of logarithms.
  """

  model: segmentation.PacaSegmenter
  mean_depth: float
  variance_focus: float
  start: Callable[..., Any] | None = None

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
    loss = scale_invariant_loss(
      self._log_depth(outputs, batch), batch['depth'], self.variance_focus
    )
    return losses.masked_mean(loss, batch['mask']), LossAux(
      model_state=model_state, scalars={}, weight=jnp.sum(batch['mask'])
    )

  def metrics(self, variables, batch):
    outputs = self.model.apply(variables, batch['image'], train=False)
    log_depth = self._log_depth(outputs, batch)
    loss = scale_invariant_loss(log_depth, batch['depth'], self.variance_focus)
    known = (batch['depth'] > 0) & (batch['mask'] > 0)[:, None, None]
    constant = jnp.full_like(log_depth, self.mean_depth)
    return {
      'loss': metrics.Mean.of(loss, batch['mask']),
      **make_metrics(jnp.exp(log_depth), batch['depth'], known),
      **{
        f'{name}_of_mean': metric
        for name, metric in make_metrics(
          constant, batch['depth'], known
        ).items()
      },
    }

  def predict(self, variables, batch):
    """`depth` [B, H, W], metres, and cluster maps, stage -> [B, M, h, w]."""
    outputs, features = self.model.apply(
      variables, batch['image'], train=False, return_features=True
    )
    log_depth = self._log_depth(outputs, {'depth': batch['image'][..., 0]})
    return {
      'depth': jnp.exp(log_depth),
      'cluster_maps': features.cluster_maps(),
    }

  def _log_depth(self, outputs, batch):
    size = batch['depth'].shape[1:]
    values = resize.resize_bilinear(outputs.logits, size)[..., 0]
    return values + jnp.log(self.mean_depth)


def scale_invariant_loss(
  log_depth: jax.Array, depth: jax.Array, variance_focus: float
) -> jax.Array:
  """mean(d^2) - lambda mean(d)^2 of d = log_depth - log(depth), per image.

  Eigen et al. 2014 (arXiv 1406.2283), equation 4.

  Args:
    log_depth: [B, H, W], predicted.
    depth: [B, H, W], metres; where it is 0 nothing counts.
    variance_focus: lambda.

  Returns:
    [B], 0 for an image without known depth.
  """
  known = depth > 0
  d = jnp.where(known, log_depth - jnp.log(jnp.where(known, depth, 1)), 0)
  count = jnp.maximum(jnp.sum(known, axis=(1, 2)), 1)
  mean = jnp.sum(d, axis=(1, 2)) / count
  return jnp.sum(d**2, axis=(1, 2)) / count - variance_focus * mean**2


def make_metrics(
  predicted: jax.Array, depth: jax.Array, known: jax.Array
) -> dict[str, metrics.Mean]:
  """Over all known pixels: mean |error| / depth, RMSE, RMSE of the natural
  logarithm, share within 25 %.

  Args:
    predicted: [B, H, W], metres.
    depth: [B, H, W], metres.
    known: [B, H, W], which pixels count.
  """
  safe = jnp.where(known, depth, 1)
  error = jnp.where(known, predicted - depth, 0)
  ratio = jnp.maximum(predicted / safe, safe / predicted)
  count = jnp.sum(known.astype(jnp.float32))
  return {
    'abs_rel': metrics.Mean(jnp.sum(jnp.abs(error) / safe), count),
    'rmse': metrics.RootMean(jnp.sum(error**2), count),
    'rmse_log': metrics.RootMean(jnp.sum(jnp.log(ratio) ** 2 * known), count),
    'delta_1.25': metrics.Mean(
      jnp.sum((known & (ratio < 1.25)).astype(jnp.float32)), count
    ),
  }


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Depth:
  """Reads mean_depth and variance_focus; model: see `make_segmenter`."""
  if model.num_classes != 1 or model.auxiliary_head is not None:
    raise ValueError(
      'config.model: depth needs num_classes 1 and no auxiliary_head, found '
      f'{model.num_classes} and {model.auxiliary_head}.'
    )
  network = segmentation.make_segmenter(model)
  return Depth(
    model=network,
    mean_depth=config.mean_depth,
    variance_focus=config.variance_focus,
    start=kmeans.make_start(model, network),
  )

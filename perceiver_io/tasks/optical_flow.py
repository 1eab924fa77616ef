"""Optical flow (Jaegle et al. 2021b, section 4.2 and appendix H).

Letters: B batch, H height, W width.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections

from perceiver_io import models
from train_lib import losses, metrics
from train_lib import task as task_lib

PREDICTIONS = 'perceiver_io.evaluators.flow_predictions'
_SMALLEST_SQUARE = 1e-12  # below which the length's gradient is cut


@dataclasses.dataclass(frozen=True)
class OpticalFlow:
  """Batch keys: `frames` [B, 2, H, W, 3] float32 in [-1, 1]; `flow`
  [B, H, W, (x, y)] float32, in pixels from the first frame to the second;
  `valid` [B, H, W], 1 where the flow is known; `mask` [B].

  Attributes:
    model: maps frames to flow.
    reverse_pairs: train on every pair forward and reversed: the recipe's first
      phase.
  """

  model: nn.Module
  reverse_pairs: bool

  def init(self, rng, batch):
    return self.model.init(rng, batch['frames'])

  def loss(self, variables, batch, rng):
    """The mean end-point error of pixels whose flow is known."""
    del rng
    if self.reverse_pairs:
      backward = reversed_pairs(batch)
      batch = {k: jnp.concatenate([batch[k], backward[k]]) for k in backward}
    flow, model_state = self.model.apply(
      variables,
      batch['frames'],
      train=True,
      mutable=[name for name in variables if name != 'params'],
    )
    error = end_point_error(flow, batch['flow'])
    weight = batch['valid'] * batch['mask'][:, None, None]
    return losses.masked_mean(error, weight), task_lib.LossAux(
      model_state=model_state, scalars={}, weight=jnp.sum(weight)
    )

  def metrics(self, variables, batch):
    flow = self.predict(variables, batch)['flow']
    weight = batch['valid'] * batch['mask'][:, None, None]
    return flow_metrics(flow, batch['flow'], weight)

  def predict(self, variables, batch):
    """Flow [B, H, W, (x, y)] in pixels."""
    return {'flow': self.model.apply(variables, batch['frames'])}


def end_point_error(flow: jax.Array, target: jax.Array) -> jax.Array:
  """How far flow [..., 2] ends from where it should: [...], in pixels."""
  square = jnp.sum(jnp.square(flow - target), axis=-1)
  # The root's gradient is infinite where the flow is exact.
  return jnp.sqrt(jnp.maximum(square, _SMALLEST_SQUARE))


def flow_metrics(
  flow: jax.Array, target: jax.Array, weight: jax.Array
) -> dict[str, metrics.Metric]:
  """What Sintel and KITTI measure, over pixels.

  `epe`, the mean end-point error in pixels; the same of pixels that move by
  less than 10, by 10 to 40 and by more than 40 pixels; `fl_all`, the share
  whose error is above 3 pixels and above 5 % of the motion.

  Args:
    flow, target: [B, H, W, 2].
    weight: [B, H, W], 1 for the pixels that count.
  """
  error = end_point_error(flow, target)
  motion = jnp.linalg.norm(target, axis=-1)
  outlier = (error > 3) & (error > 0.05 * motion)
  ranges = {
    'epe_below_10': motion < 10,
    'epe_10_to_40': (motion >= 10) & (motion <= 40),
    'epe_above_40': motion > 40,
  }
  return {
    'epe': metrics.Mean.of(error, weight),
    **{
      name: metrics.Mean.of(error, weight * inside)
      for name, inside in ranges.items()
    },
    'fl_all': metrics.Mean.of(outlier, weight),
  }


def reversed_pairs(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """The pairs from the second frame to the first.

  The flow at a pixel of the second frame is minus the mean of the flows that
  end there, rounded to pixels; it is known where one does (appendix H).

  Args:
    batch: of a task for optical flow.
  """
  flow, valid = batch['flow'], batch['valid']
  height, width = flow.shape[1:3]
  x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
  ends = jnp.round(flow + jnp.stack([x, y], axis=-1)).astype(jnp.int32)
  inside = jnp.all((ends >= 0) & (ends < jnp.array([width, height])), axis=-1)
  weight = jnp.where(inside & (valid > 0), 1.0, 0.0)

  def gather(flow, ends, weight):
    x, y = ends[..., 0], ends[..., 1]
    weight = weight[..., None]
    count = jnp.zeros((height, width, 1)).at[y, x].add(weight, mode='drop')
    total = (
      jnp.zeros((height, width, 2))
      .at[y, x]
      .add(jnp.where(weight > 0, flow, 0), mode='drop')
    )
    return -total / jnp.maximum(count, 1), count[..., 0] > 0

  flow, known = jax.vmap(gather)(flow, ends, weight)
  return {
    'frames': batch['frames'][:, ::-1],
    'flow': flow,
    'valid': known.astype(valid.dtype),
    'mask': batch['mask'],
  }


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> OpticalFlow:
  """Builds the task.

  Args:
    config: make_model, a function of `perceiver_io.models` by its dotted name,
      and reverse_pairs.
    model: the function's arguments; `encoder` are those of `models.encoder`.
  """
  make_model = task_lib.function_named(config.make_model)
  options = dict(model)
  encoder = models.encoder(**options.pop('encoder'), dtype=model.dtype)
  return OpticalFlow(
    model=make_model(encoder=encoder, **options),
    reverse_pairs=config.reverse_pairs,
  )

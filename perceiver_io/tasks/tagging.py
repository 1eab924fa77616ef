"""Which sounds are heard: several labels at once (Jaegle et al. 2021b, 4.7).

Letters: B batch, N clips of an example, S samples, T frames, F bands of a
spectrogram, H and W height and width, K classes.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import ml_collections
import optax

from perceiver_io import audio_visual
from perceiver_io.perceiver import Perceiver
from train_lib import losses, metrics
from train_lib import task as task_lib

PREDICTIONS = 'data.sound.predictions'


@dataclasses.dataclass(frozen=True)
class Tagging:
  """Batch keys: `audio`, samples in [-1, 1] [B, N, S] or spectrograms [B, N, T,
  F]; `image` [B, N, T, H, W, 3] uint8, if the model sees; `labels` [B, K], 1
  for those that apply; `mask` [B]; and `has_audio`, `has_image` [B], if what an
  example lacks is to be zeros, as after dropout.

  What is predicted of an example is the mean over its N clips.

  Attributes:
    model: maps {modality: [B, ...]} to logits [B, K].
    dropout: modality -> the probability with which it is zeros, as a whole, in
      a training example; (Jaegle et al. 2021a drop the video of 30 %).
    input_shift, input_scale: of `audio`: (x + shift) * scale.
  """

  model: Perceiver
  dropout: Mapping[str, float]
  input_shift: float
  input_scale: float

  def init(self, rng, batch):
    return self.model.init(rng, self._clip(batch, 0))

  def loss(self, variables, batch, rng):
    """Binary cross entropy of the first clip, a mean over classes."""
    inputs = self._clip(batch, 0)
    for i, (name, rate) in enumerate(sorted(self.dropout.items())):
      x = inputs[name]
      kept = jax.random.bernoulli(
        jax.random.fold_in(rng, i), 1 - rate, x.shape[:1]
      )
      inputs[name] = x * _like(kept, x)
    logits = self.model.apply(variables, inputs)
    loss = _loss(logits, batch['labels'])
    return losses.masked_mean(loss, batch['mask']), task_lib.LossAux(
      model_state={}, scalars={}, weight=jnp.sum(batch['mask'])
    )

  def metrics(self, variables, batch):
    """`loss`, of clips, and `accuracy`: whether the best class applies."""
    logits, labels, mask = (
      self._logits(variables, batch),
      batch['labels'],
      batch['mask'],
    )
    best = jnp.argmax(_mean_probability(logits), axis=-1)
    hit = jnp.take_along_axis(labels, best[:, None], axis=1)[:, 0]
    loss = jnp.mean(_loss(logits, labels[:, None]), axis=1)
    return {
      'loss': metrics.Mean.of(loss, mask),
      'accuracy': metrics.Mean.of(hit, mask),
    }

  def predict(self, variables, batch):
    """Probabilities [B, K]."""
    logits = self._logits(variables, batch)
    return {'probabilities': _mean_probability(logits)}

  def _logits(self, variables, batch) -> jax.Array:
    """[B, N, K], a clip after the other: N of them may not fit at once."""
    num_clips = batch['audio'].shape[1]
    logits = jax.lax.map(
      lambda i: self.model.apply(variables, self._clip(batch, i)),
      jnp.arange(num_clips),
    )
    return jnp.moveaxis(logits, 0, 1)

  def _clip(self, batch, i) -> dict[str, jax.Array]:
    """The i-th clip of every example, as the model takes it."""
    inputs = {'audio': jnp.asarray(batch['audio'])[:, i]}
    inputs['audio'] = (inputs['audio'] + self.input_shift) * self.input_scale
    if 'image' in batch:
      image = jnp.asarray(batch['image'])[:, i]
      inputs['image'] = image.astype(jnp.float32) / 127.5 - 1
    for name, x in inputs.items():
      if f'has_{name}' in batch:
        inputs[name] = x * _like(batch[f'has_{name}'], x)
    return inputs


def _like(weights: jax.Array, x: jax.Array) -> jax.Array:
  """[B] as [B, 1, ...], in the form of x [B, ...]."""
  return weights.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)


def _loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """[..., K] -> [...]."""
  logits = logits.astype(jnp.float32)
  return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels), axis=-1)


def _mean_probability(logits: jax.Array) -> jax.Array:
  """[B, N, K] -> [B, K]."""
  return jnp.mean(jax.nn.sigmoid(logits.astype(jnp.float32)), axis=1)


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Tagging:
  """Builds the task.

  Args:
    config: dropout, input_shift and input_scale, see `Tagging`.
    model: the arguments of `audio_visual.classifier`.
  """
  unknown = set(config.dropout) - set(model.modalities)
  if unknown:
    raise ValueError(
      f'config.task.dropout: found {sorted(unknown)}, expected some of '
      f'{sorted(model.modalities)}.'
    )
  return Tagging(
    model=audio_visual.classifier(**model),
    dropout=dict(config.dropout),
    input_shift=config.input_shift,
    input_scale=config.input_scale,
  )

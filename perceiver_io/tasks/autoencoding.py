"""Autoencoding of video, sound and label (Jaegle et al. 2021b, section 4.3).

Letters: B batch, T frames, H and W height and width, S samples, K classes,
O points.
"""

import dataclasses
import math

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
from jax import export

from perceiver_io import chunked_decoding, models
from perceiver_io.multimodal import MultimodalPerceiver
from train_lib import losses, metrics
from train_lib import task as task_lib

PREDICTIONS = 'perceiver_io.evaluators.clip_predictions'


@flax.struct.dataclass
class Psnr:
  """Peak signal-to-noise ratio in dB, of the mean squared error of all clips.

  The peak is 1: white, or full deflection of a wave. (The mean of the clips'
  own ratios would be infinite with a single silent clip.)
  """

  error: metrics.Mean

  @classmethod
  def of(cls, x: jax.Array, target: jax.Array, mask: jax.Array) -> 'Psnr':
    """Of x and target, of shapes that broadcast to [B, ...]; mask [B]."""
    return cls(metrics.Mean.of(jnp.square(x - target), mask))

  def merge(self, other: 'Psnr') -> 'Psnr':
    return Psnr(self.error.merge(other.error))

  def compute(self) -> float:
    error = self.error.compute()
    return -10 * math.log10(error) if error else math.inf


@dataclasses.dataclass(frozen=True)
class Autoencoding:
  """Batch keys: `image` [B, T, H, W, 3] float32 in [0, 1]; `audio` [B, S, 1]
  float32 in [-1, 1]; `label` [B] int32; `mask` [B]; and `has_image`,
  `has_audio` [B], if there are examples without one of them: it then counts
  neither in the loss nor in the metrics.

  The label is also an input, which is masked for some of the training examples
  and in every evaluation: there the model classifies.

  Attributes:
    model: the autoencoder.
    num_classes: K.
    num_points: of each training example, how many pixels of 'image' and patches
      of 'audio' are drawn and decoded. (The paper's '512 audio' may mean
      samples; its published code counts patches.)
    loss_weights: of the L1 losses of 'image' and 'audio' and of the cross
      entropy of 'label'.
    label_mask_rate: of training.
    decode_mib: memory for temporaries when all is decoded, see
      `chunked_decoding.choose_num_chunks`.
  """

  model: MultimodalPerceiver
  num_classes: int
  num_points: dict[str, int]
  loss_weights: dict[str, float]
  label_mask_rate: float
  decode_mib: float

  def init(self, rng, batch):
    return self.model.init(
      rng, self._inputs(batch), points=_first_points(self.num_points)
    )

  def loss(self, variables, batch, rng):
    points_rng, mask_rng = jax.random.split(rng)
    batch_size = len(batch['mask'])
    points = {}
    for name, total in self.num_outputs().items():
      points_rng, draw_rng = jax.random.split(points_rng)
      shape = (batch_size, self.num_points[name])
      points[name] = jax.random.randint(draw_rng, shape, 0, total)
    outputs = self.model.apply(
      variables,
      self._inputs(batch),
      points=points,
      mask_probs={'label': self.label_mask_rate},
      train=True,
      rngs={'mask': mask_rng},
    )
    parts = {
      'label': losses.softmax_cross_entropy(outputs['label'], batch['label'])
    }
    for name, chosen in points.items():
      # [B, points, numbers of a point]
      target = batch[name].reshape(batch_size, self.num_outputs()[name], -1)
      target = jnp.take_along_axis(target, chosen[..., None], axis=1)
      errors = jnp.abs(outputs[name].reshape(target.shape) - target)
      parts[name] = jnp.mean(errors.astype(jnp.float32), axis=(1, 2))
    parts = {
      name: part * batch.get(f'has_{name}', 1) for name, part in parts.items()
    }
    total = sum(self.loss_weights[name] * part for name, part in parts.items())
    mask = batch['mask']
    return losses.masked_mean(total, mask), task_lib.LossAux(
      model_state={},
      scalars={
        f'{name}_loss': losses.masked_mean(part, _counting(batch, name))
        for name, part in parts.items()
      },
      weight=jnp.sum(mask),
    )

  def metrics(self, variables, batch):
    """PSNR of all of video and sound, accuracy, and what needs no model.

    The baselines: of video each clip's mean colour, and its mean frame, a
    still; of sound silence.
    """
    outputs = self.predict(variables, batch)
    image, audio = batch['image'], batch['audio'][..., 0]
    seen, heard = _counting(batch, 'image'), _counting(batch, 'audio')
    colour = jnp.mean(image, axis=(1, 2, 3), keepdims=True)
    still = jnp.mean(image, axis=1, keepdims=True)
    correct = jnp.argmax(outputs['label'], axis=-1) == batch['label']
    return {
      'image_psnr': Psnr.of(outputs['image'], image, seen),
      'image_psnr_of_mean': Psnr.of(colour, image, seen),
      'image_psnr_of_still': Psnr.of(still, image, seen),
      'audio_psnr': Psnr.of(outputs['audio'], audio, heard),
      'audio_psnr_of_silence': Psnr.of(jnp.zeros_like(audio), audio, heard),
      'accuracy': metrics.Mean.of(correct, batch['mask']),
    }

  def predict(self, variables, batch):
    """`image` [B, T, H, W, 3] and `audio` [B, S], within their ranges, and
    logits `label` [B, K]; encoded once, without the label."""
    inputs, latents = self.model.apply(
      variables, self._inputs(batch), {'label': 1.0}, method='encode'
    )
    output_bias = variables['params']['decoder']['attention']['output']['bias']
    num_points = self.num_outputs()
    outputs = chunked_decoding.decode(
      self.model,
      variables,
      inputs,
      latents,
      num_points=num_points,
      num_chunks=chunked_decoding.choose_num_chunks(
        num_points,
        query_channels=output_bias.size,
        num_logits=self.model.decoder.num_heads * latents.shape[1],
        batch_size=_number(latents.shape[0]),
        memory_mib=self.decode_mib,
      ),
    )
    image = jnp.clip(outputs['image'], 0, 1)
    return {
      'image': image.reshape(batch['image'].shape),
      'audio': jnp.clip(outputs['audio'], -1, 1),
      'label': outputs['label'],
    }

  def _inputs(self, batch):
    return {
      'image': batch['image'],
      'audio': batch['audio'],
      'label': jax.nn.one_hot(batch['label'], self.num_classes),
    }

  def num_outputs(self) -> dict[str, int]:
    """How many pixels of video and patches of sound there are."""
    return {
      name: math.prod(self.model.queries[name].index_dims)
      for name in ('audio', 'image')
    }


def _counting(batch, name: str) -> jax.Array:
  """[B], 1 for the examples that have a modality."""
  return batch['mask'] * batch.get(f'has_{name}', 1)


def _first_points(num_points):
  return {name: jnp.arange(n) for name, n in num_points.items()}


def _number(batch_size) -> int:
  """A batch of any number, which an exported file has, counts as one."""
  return 1 if export.is_symbolic_dim(batch_size) else batch_size


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Autoencoding:
  """Builds the task.

  Args:
    config: num_points, loss_weights, label_mask_rate and decode_mib, see
      `Autoencoding`.
    model: arguments of `models.multimodal`; `encoder` are those of
      `models.encoder`.
  """
  options = dict(model)
  encoder = models.encoder(**options.pop('encoder'), dtype=options['dtype'])
  return Autoencoding(
    model=models.multimodal(encoder=encoder, **options),
    num_classes=model.num_classes,
    num_points=dict(config.num_points),
    loss_weights=dict(config.loss_weights),
    label_mask_rate=config.label_mask_rate,
    decode_mib=config.decode_mib,
  )

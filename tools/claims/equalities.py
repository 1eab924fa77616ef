"""What must be the same, and is compared: random weights, float32, a CPU.

Each function is a measurement: it returns numbers by name.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from baselines import vit
from configs.perceiver_io import kinetics
from perceiver_io import chunked_decoding, models
from train_lib.task import make_task

Values = dict[str, Any]
_CHUNKS = 16


def _weights(module, *args, **kwargs):
  """Variables of which none is zero, so that each matters."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(
    functools.partial(module.init, **kwargs), jax.random.key(0), *args
  )
  return jax.tree.map(
    lambda x: (0.1 * rng.standard_normal(x.shape)).astype(x.dtype), shapes
  )


def _difference(found, expected) -> float:
  """The largest, as a share of the largest number expected."""
  return float(jnp.max(abs(found - expected)) / jnp.max(abs(expected)))


def decoding() -> Values:
  """50,176 pixels decoded at once, in parts, and a sample of them alone."""
  config = kinetics.get_config('demo')
  task = make_task(config)
  model = task.model
  rng = np.random.default_rng(1)
  frames, height, width = config.model.video_size
  x = {
    'image': rng.random((1, frames, height, width, 3), np.float32),
    'audio': rng.random((1, config.model.num_audio_samples, 1), np.float32),
    'label': np.eye(config.model.num_classes, dtype=np.float32)[:1],
  }
  variables = _weights(model, x)
  encode = jax.jit(functools.partial(model.apply, method='encode'))
  inputs, latents = encode(variables, x)
  num_points = {
    'image': frames * height * width,
    'audio': config.model.num_audio_samples // config.model.samples_per_patch,
  }
  programs, found = {}, {}
  for name, chunks in (('at once', 1), ('in parts', _CHUNKS)):
    decode = functools.partial(
      chunked_decoding.decode,
      model,
      num_points=num_points,
      num_chunks=chunks,
    )
    program = jax.jit(decode).lower(variables, inputs, latents).compile()
    found[f'bytes {name}'] = program.memory_analysis().temp_size_in_bytes
    programs[name] = program(variables, inputs, latents)['image']
  chosen = np.sort(rng.permutation(num_points['image'])[:384])
  points = {'image': chosen, 'audio': np.arange(num_points['audio'])}
  sample = model.apply(variables, inputs, latents, points, method='decode')
  whole = programs['at once'].reshape(-1, 3)
  return found | {
    'pixels': num_points['image'],
    'parts': _CHUNKS,
    'sample': len(chosen),
    'difference in parts': _difference(
      programs['in parts'], programs['at once']
    ),
    'difference of the sample': _difference(
      sample['image'].reshape(-1, 3), whole[chosen]
    ),
  }


def permutation() -> Values:
  """Latents of inputs in another order, and what a ViT makes of the same."""
  rng = np.random.default_rng(1)
  inputs = rng.standard_normal((2, 196, 16)).astype(np.float32)
  order = rng.permutation(196)
  encoder = models.encoder(
    num_latents=16,
    latent_channels=32,
    num_self_attends_per_block=2,
    num_self_attend_heads=4,
  )
  variables = _weights(encoder, inputs)
  apply = jax.jit(encoder.apply)
  perceiver = _difference(
    apply(variables, inputs[:, order]), apply(variables, inputs)
  )
  images = rng.standard_normal((2, 28, 28, 1)).astype(np.float32)
  moved = images.reshape(2, -1)[:, rng.permutation(784)].reshape(images.shape)
  model = vit.ViT(
    vit.SelfAttention(2),
    num_classes=10,
    patch_size=2,
    channels=16,
    num_layers=2,
    class_token=False,
  )
  variables = _weights(model, images)
  apply = jax.jit(model.apply)
  return {
    'Perceiver': perceiver,
    'ViT': _difference(apply(variables, moved), apply(variables, images)),
  }


MEASUREMENTS: dict[str, Callable[[], Values]] = {
  fn.__name__: fn for fn in (decoding, permutation)
}

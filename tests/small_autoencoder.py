"""An autoencoder of 64 pixels and 6 patches of sound, and two examples."""

import jax
import numpy as np

from perceiver_io import models

VIDEO, SAMPLES, CLASSES = (2, 4, 8), 24, 5
NUM_POINTS = {'audio': 6, 'image': 64}


def make_model(num_latents=3, **options):
  return models.multimodal(
    video_size=VIDEO,
    num_audio_samples=SAMPLES,
    num_classes=CLASSES,
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=8,
      num_self_attends_per_block=1,
      num_self_attend_heads=2,
    ),
    spatial_patch=2,
    samples_per_patch=4,
    image_bands=2,
    audio_bands=3,
    label_query_channels=20,
    output_channels=12,
    **options,
  )


def make_example():
  """Variables of which none is zero, and inputs."""
  rng = np.random.default_rng(0)

  def draw(*shape):
    return rng.standard_normal(shape).astype(np.float32)

  x = {
    'image': draw(2, *VIDEO, 3),
    'audio': draw(2, SAMPLES, 1),
    'label': draw(2, CLASSES),
  }
  shapes = jax.eval_shape(make_model().init, jax.random.key(0), x)
  return jax.tree.map(lambda p: 0.4 * draw(*p.shape), shapes), x

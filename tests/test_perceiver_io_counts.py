"""Parameters of every published model, counted without making any."""

import math

import jax
import pytest

from perceiver_io import inputs, models, multimodal, outputs
from perceiver_io.perceiver import PooledPerceiver
from perceiver_io.position_encoding import FourierPositions


def shape(*dims, dtype='float32'):
  return jax.ShapeDtypeStruct(dims, dtype)


def count(model, *args):
  """Parameters of a model by shapes alone."""
  variables = jax.eval_shape(model.init, jax.random.key(0), *args)
  return sum(math.prod(x.shape) for x in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize(
  'expected, sizes',
  [
    (201108230, {}),
    (223155456, dict(vocab_size=32000, max_length=512)),
    (425607430, dict(latent_channels=1536, num_self_attends=40)),
    (430132230, dict(num_latents=128, latent_channels=1920)),
    (105849862, dict(num_latents=512, latent_channels=896)),
  ],
  ids=['bytes', 'sentencepiece', '++', '128x1920', '512x896'],
)
def test_language(expected, sizes):
  base = dict(
    vocab_size=262,
    max_length=2048,
    token_channels=768,
    num_latents=256,
    latent_channels=1280,
    qk_channels=256,
    num_heads=8,
    num_self_attends=26,
  )
  model = models.mlm(**{**base, **sizes})
  ids = shape(1, model.inputs.max_length, dtype='int32')
  assert count(model, ids) == expected


SHARED = dict(num_self_attends_per_block=6, num_blocks=8)
UNSHARED = dict(num_self_attends_per_block=16, self_attend_widening_factor=4)
LEARNED = models.learned_pixels((224, 224))
FOURIER = models.fourier_pixels((224, 224))
CONV = models.conv_features((56, 56))


@pytest.mark.parametrize(
  'expected, image_inputs, encoder',
  [
    (62255848, LEARNED, SHARED),
    (48440627, FOURIER, SHARED),
    (48646522, CONV, SHARED),
    (213082618, models.fourier_pixels((224, 224), channels=256), UNSHARED),
    (212375930, CONV, UNSHARED),
  ],
  ids=['learned', 'fourier', 'conv', 'B fourier', 'B conv'],
)
def test_imagenet(expected, image_inputs, encoder):
  model = models.imagenet(
    inputs=image_inputs,
    encoder=models.encoder(num_latents=512, latent_channels=1024, **encoder),
    num_classes=1000,
    query_channels=1024,
    use_query_residual=True,
  )
  assert count(model, shape(1, 224, 224, 3)) == expected


@pytest.mark.parametrize(
  'expected, image_inputs',
  [(55951080, LEARNED), (42135859, FOURIER), (42341754, CONV)],
  ids=['learned', 'fourier', 'conv'],
)
def test_original_perceiver(expected, image_inputs):
  encoder = models.encoder(num_latents=512, latent_channels=1024, **SHARED)
  model = PooledPerceiver(image_inputs, encoder, outputs.MeanLogits(1000))
  assert count(model, shape(1, 224, 224, 3)) == expected


@pytest.mark.parametrize(
  'expected, num_latents, num_layers',
  [(41057134, 2048, 24), (27908974, 1024, 16)],
)
def test_optical_flow(expected, num_latents, num_layers):
  model = models.optical_flow(
    image_size=(368, 496),
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=num_layers,
      num_self_attend_heads=16,
    ),
  )
  assert count(model, shape(1, 2, 368, 496, 3)) == expected


@pytest.mark.parametrize(
  'expected, num_latents', [(19858855, 784), (19658151, 392), (19557799, 196)]
)
def test_multimodal(expected, num_latents):
  model = models.multimodal(
    video_size=(16, 224, 224),
    num_audio_samples=30720,
    num_classes=700,
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=8,
    ),
  )
  x = {
    'image': shape(1, 16, 224, 224, 3),
    'audio': shape(1, 30720, 1),
    'label': shape(1, 700),
  }
  assert count(model, x) == expected


def audioset_inputs():
  """Video patches and raw audio; the published sizes leave the bands open."""
  return multimodal.MultimodalInputs(
    {
      'audio': inputs.GridInputs(
        inputs.AudioPatches(128), FourierPositions(64)
      ),
      'image': inputs.GridInputs(
        inputs.Patches(8, temporal=2), FourierPositions(16)
      ),
    }
  )


AUDIOSET = {'image': shape(1, 32, 224, 224, 3), 'audio': shape(1, 61440, 1)}


@pytest.mark.parametrize(
  'expected, latent_channels', [(24922462, 512), (86568286, 1024)]
)
def test_audioset(expected, latent_channels):
  model = models.imagenet(
    inputs=audioset_inputs(),
    encoder=models.encoder(
      num_latents=512,
      latent_channels=latent_channels,
      num_self_attends_per_block=12,
    ),
    num_classes=527,
    query_channels=1024,
    use_query_residual=True,
  )
  assert count(model, AUDIOSET) == expected


def test_audioset_original_perceiver():
  encoder = models.encoder(
    num_latents=512, latent_channels=512, num_self_attends_per_block=12
  )
  model = PooledPerceiver(audioset_inputs(), encoder, outputs.MeanLogits(527))
  assert count(model, AUDIOSET) == 20971870

"""Parameters and operations of every published model; none is made or run."""

import functools

import jax
import pytest

from perceiver_io import inputs, models, multimodal, outputs
from perceiver_io.perceiver import PooledPerceiver
from perceiver_io.position_encoding import FourierPositions
from train_lib import cost

PLAIN = dict(fold_projections=False, implementation='plain')


def shape(*dims, dtype='float32'):
  return jax.ShapeDtypeStruct(dims, dtype)


def language(options, **sizes):
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
  sizes = {**base, **sizes}
  return models.mlm(**sizes, **options), shape(
    1, sizes['max_length'], dtype='int32'
  )


LEARNED = models.learned_pixels((224, 224))
FOURIER = models.fourier_pixels((224, 224))
FOURIER_B = models.fourier_pixels((224, 224), channels=256)
CONV = models.conv_features((56, 56))
IMAGE = shape(1, 224, 224, 3)
SIZE_A = dict(num_self_attends_per_block=6, num_blocks=8)
SIZE_B = dict(num_self_attends_per_block=16, self_attend_widening_factor=4)


def image_encoder(options, sizes):
  return models.encoder(
    num_latents=512, latent_channels=1024, **sizes, **options
  )


def imagenet(options, image_inputs, sizes=SIZE_A):
  model = models.imagenet(
    inputs=image_inputs,
    encoder=image_encoder(options, sizes),
    num_classes=1000,
    query_channels=1024,
    use_query_residual=True,
  )
  return model, IMAGE


def original(options, image_inputs):
  encoder = image_encoder(options, SIZE_A)
  return (
    PooledPerceiver(image_inputs, encoder, outputs.MeanLogits(1000)),
    IMAGE,
  )


def flow(options, num_latents, num_layers):
  model = models.optical_flow(
    image_size=(368, 496),
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=num_layers,
      num_self_attend_heads=16,
      **options,
    ),
  )
  return model, shape(1, 2, 368, 496, 3)


def autoencoder(options, num_latents):
  model = models.multimodal(
    video_size=(16, 224, 224),
    num_audio_samples=30720,
    num_classes=700,
    encoder=models.encoder(
      num_latents=num_latents,
      latent_channels=512,
      num_self_attends_per_block=8,
      **options,
    ),
  )
  return model, {
    'image': shape(1, 16, 224, 224, 3),
    'audio': shape(1, 30720, 1),
    'label': shape(1, 700),
  }


def audioset(options, latent_channels, pooled=False):
  """Raw audio; the published sizes leave its number of bands open."""
  encoder = models.encoder(
    num_latents=512,
    latent_channels=latent_channels,
    num_self_attends_per_block=12,
    **options,
  )
  both = multimodal.MultimodalInputs(
    {
      'audio': inputs.GridInputs(
        inputs.AudioPatches(128), FourierPositions(64)
      ),
      'image': inputs.GridInputs(
        inputs.Patches(8, temporal=2), FourierPositions(16)
      ),
    }
  )
  x = {'image': shape(1, 32, 224, 224, 3), 'audio': shape(1, 61440, 1)}
  if pooled:
    return PooledPerceiver(both, encoder, outputs.MeanLogits(527)), x
  model = models.imagenet(
    inputs=both,
    encoder=encoder,
    num_classes=527,
    query_channels=1024,
    use_query_residual=True,
  )
  return model, x


# Name: (parameters, GFLOPs at 2 a multiply-add or None, what makes it). All
# measured on the reference code; the papers' own figures are rounded.
PUBLISHED = {
  'bytes': (201108230, 120.95, language),
  'sentencepiece': (
    223155456,
    133.61,
    functools.partial(language, vocab_size=32000, max_length=512),
  ),
  'bytes ++': (
    425607430,
    240.87,
    functools.partial(language, latent_channels=1536, num_self_attends=40),
  ),
  'bytes 128x1920': (
    430132230,
    127.40,
    functools.partial(language, num_latents=128, latent_channels=1920),
  ),
  'bytes 512x896': (
    105849862,
    134.12,
    functools.partial(language, num_latents=512, latent_channels=896),
  ),
  'learned': (
    62255848,
    478.04,
    functools.partial(imagenet, image_inputs=LEARNED),
  ),
  'fourier': (
    48440627,
    406.12,
    functools.partial(imagenet, image_inputs=FOURIER),
  ),
  'conv': (48646522, 369.36, functools.partial(imagenet, image_inputs=CONV)),
  'B fourier': (
    213082618,
    334.64,
    functools.partial(imagenet, image_inputs=FOURIER_B, sizes=SIZE_B),
  ),
  'B conv': (
    212375930,
    231.93,
    functools.partial(imagenet, image_inputs=CONV, sizes=SIZE_B),
  ),
  'original learned': (
    55951080,
    475.88,
    functools.partial(original, image_inputs=LEARNED),
  ),
  'original fourier': (
    42135859,
    403.97,
    functools.partial(original, image_inputs=FOURIER),
  ),
  'original conv': (
    42341754,
    367.21,
    functools.partial(original, image_inputs=CONV),
  ),
  'flow': (
    41057134,
    1886.92,
    functools.partial(flow, num_latents=2048, num_layers=24),
  ),
  'flow 1024x16': (
    27908974,
    985.69,
    functools.partial(flow, num_latents=1024, num_layers=16),
  ),
  'autoencoder': (
    19858855,
    7470.42,
    functools.partial(autoencoder, num_latents=784),
  ),
  'autoencoder 392': (
    19658151,
    None,
    functools.partial(autoencoder, num_latents=392),
  ),
  'autoencoder 196': (
    19557799,
    None,
    functools.partial(autoencoder, num_latents=196),
  ),
  'audioset 512': (
    24922462,
    52.71,
    functools.partial(audioset, latent_channels=512),
  ),
  'audioset 1024': (
    86568286,
    None,
    functools.partial(audioset, latent_channels=1024),
  ),
  'audioset original': (
    20971870,
    52.163,
    functools.partial(audioset, latent_channels=512, pooled=True),
  ),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_counts(name):
  num_params, gflops, make = PUBLISHED[name]
  model, x = make(PLAIN)
  variables = jax.eval_shape(model.init, jax.random.key(0), x)
  assert cost.num_params(variables['params']) == num_params
  if gflops is not None:
    found = 2e-9 * cost.multiply_adds(model.apply, variables, x)
    assert found == pytest.approx(gflops, rel=1e-3)


# What folding saves, by hand, of cross-attends with one head whose keys and
# values are as wide as their C inputs: two C x C products of each input, less
# two of each query. The flow's decoder and the language models have nothing to
# fold.
@pytest.mark.parametrize(
  'name, folded',
  [
    ('learned', [(50176, 512, 512), (512, 1, 1024)]),
    ('fourier', [(50176, 512, 261), (512, 1, 1024)]),
    ('conv', [(3136, 512, 322), (512, 1, 1024)]),
    ('flow', [(182528, 2048, 322)]),
    ('audioset 512', [(13024, 512, 487), (512, 1, 512)]),
    ('bytes', []),
  ],
)
def test_what_folding_saves(name, folded):
  _, gflops, make = PUBLISHED[name]
  model, x = make({'implementation': 'plain'})
  variables = jax.eval_shape(model.init, jax.random.key(0), x)
  saved = 2e-9 * sum(2 * (m - n) * c**2 for m, n, c in folded)
  found = 2e-9 * cost.multiply_adds(model.apply, variables, x)
  assert found == pytest.approx(gflops - saved, rel=1e-3)

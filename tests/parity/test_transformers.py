"""Equal to the PyTorch Perceivers of `transformers`, with random weights.

Only where both mean the same: `transformers` computes the exact GELU unless its
configuration says otherwise, ignores the query mask, adds the queries in the
decoder of the model with learned positions, too (DeepMind's code does not), and
pads its convolutional stem differently, for which it is not compared.

  make parity
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from configs.perceiver_io import imagenet
from perceiver_io import models, names, variants

ATOL = 1e-5


def randomize(module, seed=0):
  """Weights that keep activations about as large as they come in.

  The library's own are so small that most layers would hardly matter.
  """
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for name, p in module.named_parameters():
      fan_in = p[0].numel() if p.ndim > 1 else 100
      p.normal_(0, fan_in**-0.5, generator=generator)
      if p.ndim == 1 and 'norm' in name.lower() and name.endswith('weight'):
        p.add_(1)
      if 'latents' in name or 'position' in name and p.ndim == 2:
        p.mul_(0.02 * fan_in**0.5)
  return module.eval()


def apply_like(module, model, *args, **kwargs):
  """Our model with the PyTorch module's weights, on numpy arguments."""
  args = [jnp.asarray(x) for x in args]
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *args))
  variables = names.from_hugging_face(module.state_dict(), shapes)
  return np.asarray(jax.jit(model.apply)(variables, *args, **kwargs))


def base_bytes():
  """The language model of Base on bytes (Jaegle et al. 2021b, table 11)."""
  return models.masked_language_modelling(**variants.LANGUAGE['base_bytes'])


def test_language_model_at_full_size():
  config = transformers.PerceiverConfig(
    hidden_act='gelu_pytorch_tanh', qk_channels=256, v_channels=1280
  )
  module = randomize(transformers.PerceiverForMaskedLM(config))
  assert sum(p.numel() for p in module.parameters()) == 201_108_230
  rng = np.random.default_rng(0)
  ids = rng.integers(6, 262, (2, 2048)).astype(np.int32)
  mask = np.ones((2, 2048), bool)
  mask[1, 1500:] = False
  with torch.no_grad():
    expected = module(
      inputs=torch.tensor(ids.astype(np.int64)),
      attention_mask=torch.tensor(mask.astype(np.int64)),
    ).logits.numpy()
  found = apply_like(module, base_bytes(), ids, input_mask=jnp.asarray(mask))
  assert np.abs(expected).max() > 1
  np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)


@pytest.fixture
def float64_default():
  """So that PyTorch's Fourier features are exact, as ours are."""
  torch.set_default_dtype(torch.float64)
  yield
  torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures('float64_default')
@pytest.mark.parametrize('variant', ['learned', 'fourier'])
def test_image_classifiers_at_reduced_size(variant):
  size = 17  # so that positions, float32 in any case, are exact, too
  config = transformers.PerceiverConfig(
    hidden_act='gelu_pytorch_tanh',
    num_latents=64,
    d_latents=128,
    num_blocks=2,
    num_self_attends_per_block=3,
    num_self_attention_heads=8,
    num_cross_attention_heads=1,
    image_size=size,
    num_labels=1000,
  )
  make = {
    'learned': transformers.PerceiverForImageClassificationLearned,
    'fourier': transformers.PerceiverForImageClassificationFourier,
  }[variant]
  module = randomize(make(config))

  ours = imagenet.model(variant)
  ours.encoder.update(
    num_latents=64,
    latent_channels=128,
    num_blocks=2,
    num_self_attends_per_block=3,
  )
  ours.decoder.update(query_channels=128, use_query_residual=True)
  if variant == 'learned':
    ours.inputs.image_size = (size, size)
  images = np.random.default_rng(0).standard_normal((2, size, size, 3))
  with torch.no_grad():
    pixels = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    expected = module(pixel_values=pixels).logits.numpy()
  found = apply_like(module, models.image_classifier(**ours), images)
  assert np.abs(expected).max() > 0.5
  np.testing.assert_allclose(found, expected, rtol=0, atol=ATOL)

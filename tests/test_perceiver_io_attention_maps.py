"""What latents read: the weights are those that the model itself uses."""

import types

import flax
import jax
import numpy as np
import PIL.Image
import pytest

from perceiver_io import models
from perceiver_io.attention import CrossAttention
from perceiver_io.evaluators import attention_maps
from perceiver_io.tasks.classification import Classification
from tests import golden_paca
from tests.compiled_task import variables_of
from train_lib import labels, sharding

HEIGHT, WIDTH, LATENTS = 4, 6, 5
IMAGES = np.random.default_rng(1).standard_normal((2, HEIGHT, WIDTH, 1))
BATCH = {'image': IMAGES.astype(np.float32), 'mask': np.ones(2, np.float32)}


def make(num_heads=1):
  encoder = models.encoder(
    num_latents=LATENTS,
    latent_channels=8,
    num_self_attends_per_block=1,
    num_self_attend_heads=2,
  )
  model = models.classifier(
    inputs=models.fourier_pixels((HEIGHT, WIDTH), num_bands=3),
    encoder=encoder.copy(cross_attend=CrossAttention(num_heads)),
    num_classes=3,
    query_channels=6,
    use_query_residual=True,
  )
  # The decoder's heads divide the latents' channels, the encoder's the inputs'.
  model = model.copy(decoder=CrossAttention(1))
  task = Classification(model, labels.Classes(3), mixing=None)
  return task, variables_of(task, BATCH)


@pytest.mark.parametrize('num_heads', [1, 3])
def test_weights_give_what_the_attention_returns(num_heads):
  task, variables = make(num_heads)

  @golden_paca.jit
  def run(variables):
    weights = attention_maps.latent_weights(task.predict, variables, BATCH)
    _, state = task.model.apply(
      variables, BATCH['image'], capture_intermediates=True
    )
    return weights, state['intermediates']

  weights, states = jax.tree.map(np.asarray, run(variables))
  assert weights.shape == (2, num_heads, LATENTS, HEIGHT * WIDTH)
  assert weights.std() > 0.01  # or any weights would do

  states = flax.traverse_util.flatten_dict(states, sep='/')
  place = 'encoder/cross_attend_0/'
  (inputs,) = states[place + 'input_norm/__call__']
  params = variables['params']['encoder']['cross_attend_0']['attention']
  value = inputs @ params['value']['kernel'] + params['value']['bias']
  value = value.reshape(*value.shape[:2], num_heads, -1)
  out = np.einsum('BHNM,BMHE->BNHE', weights, value)
  out = out.reshape(2, LATENTS, -1) @ params['output']['kernel']
  (expected,) = states[place + 'attention/__call__']
  np.testing.assert_allclose(
    out + params['output']['bias'], expected, rtol=0, atol=1e-5
  )


@pytest.mark.full
def test_masked_inputs_are_not_read():
  """The others' weights are those of a text that ends before them."""
  model = models.masked_language_modelling(
    vocab_size=9,
    max_length=6,
    token_channels=8,
    num_latents=LATENTS,
    latent_channels=8,
    qk_channels=8,
    num_heads=2,
    num_self_attends=1,
  )
  ids = np.int32([[3, 1, 4, 1, 0, 0]])
  mask = np.float32([[1, 1, 1, 1, 0, 0]])
  shapes = jax.eval_shape(model.init, jax.random.key(0), ids)
  variables = golden_paca.random_variables(shapes)

  def predict(variables, batch):
    return model.apply(variables, batch[0], input_mask=batch[1])

  whole = attention_maps.latent_weights(predict, variables, (ids, mask))
  short = attention_maps.latent_weights(
    predict, variables, (ids[:, :4], mask[:, :4])
  )
  np.testing.assert_array_equal(whole[..., 4:], 0)
  np.testing.assert_allclose(whole[..., :4], short, rtol=0, atol=1e-6)
  assert np.std(short) > 0.001


def test_latents_that_ask_nothing_read_all_inputs(tmp_path):
  task, variables = make()
  query = variables['params']['encoder']['cross_attend_0']['attention']['query']
  query['kernel'] *= 0
  query['bias'] *= 0
  mesh = sharding.make_mesh(dict(data=-1, fsdp=1))
  evaluator = attention_maps.AttentionMaps(task, BATCH, mesh, tmp_path, 3)
  state = types.SimpleNamespace(step=7, eval_variables=variables)
  found = evaluator.run(state)
  assert found['inputs_of_a_latent'] == pytest.approx(HEIGHT * WIDTH, rel=1e-4)
  # All places are as bright: beside the digits there is one colour, and white.
  picture = np.asarray(PIL.Image.open(tmp_path / '0000007_0.png'))
  below = picture[20:, picture.shape[1] // 2 :, :3]
  colours, counts = np.unique(below.reshape(-1, 3), axis=0, return_counts=True)
  assert len(colours[counts > 500]) == 2


def test_inputs_read():
  weights = np.float32([[0, 1, 0, 0], [0.5, 0, 0, 0.5], [0.25] * 4])
  np.testing.assert_allclose(
    attention_maps.inputs_read(weights), [1, 2, 4], rtol=1e-6
  )


def test_the_sharpest_latents_are_drawn_where_they_look():
  weights = np.full((1, 3, 24), 1 / 24, np.float32)
  weights[0, 1] = np.eye(24)[2 * WIDTH + 5]  # third row, last column
  figure = attention_maps.draw(BATCH['image'][:1], weights, 2)
  image, everyone, sharpest, _ = figure.axes
  assert sharpest.get_title() == 'latent 1'
  shown = sharpest.images[0].get_array()
  assert shown.shape == (HEIGHT, WIDTH)
  assert np.argwhere(shown).tolist() == [[2, 5]]


def test_coarser_grids_and_what_is_none():
  figure = attention_maps.draw(
    BATCH['image'], np.full((2, 1, 6), 1 / 6, np.float32), 1
  )
  assert figure.axes[1].images[0].get_array().shape == (2, 3)
  with pytest.raises(ValueError, match='5 inputs'):
    attention_maps.draw(BATCH['image'], np.ones((2, 1, 5), np.float32), 1)


def test_what_has_no_encoder_is_refused():
  with pytest.raises(ValueError, match='no encoder'):
    attention_maps.latent_weights(lambda variables, batch: None, {}, BATCH)

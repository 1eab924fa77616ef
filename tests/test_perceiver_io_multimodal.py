"""The autoencoder's routing of modalities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.small_autoencoder import CLASSES, SAMPLES, make_example, make_model


@pytest.fixture(scope='module')
def example():
  return make_example()


def test_points_are_rows_of_the_whole(example):
  variables, x = example
  apply = jax.jit(make_model().apply)
  whole = apply(variables, x)
  assert {k: v.shape for k, v in whole.items()} == {
    'audio': (2, SAMPLES),
    'image': (2, 64, 3),
    'label': (2, CLASSES),
  }
  points = {
    'image': jnp.asarray([[63, 0, 7], [5, 5, 33]]),  # of each example its own
    'audio': jnp.asarray([4, 1]),
  }
  some = apply(variables, x, points=points)
  image = np.take_along_axis(whole['image'], points['image'][..., None], axis=1)
  np.testing.assert_allclose(some['image'], image, atol=1e-5)
  audio = whole['audio'].reshape(2, -1, 4)[:, [4, 1]].reshape(2, -1)
  np.testing.assert_allclose(some['audio'], audio, atol=1e-5)
  np.testing.assert_allclose(some['label'], whole['label'], atol=1e-5)


def test_the_published_points_are_others(example):
  variables, x = example
  points = {'image': jnp.arange(64), 'audio': jnp.arange(6)}
  published = jax.jit(make_model(half_open_points=True).apply)
  by_points = published(variables, x, points=points)
  whole = published(variables, x)
  assert np.abs(by_points['image'] - whole['image']).max() > 1e-3
  np.testing.assert_allclose(by_points['label'], whole['label'], atol=1e-5)


def test_decoding_in_chunks(example):
  variables, x = example
  apply = jax.jit(make_model().apply, static_argnames='method')
  whole = apply(variables, x)
  encoded = apply(variables, x, method='encode')
  chunks = [
    apply(
      variables, *encoded, {'image': jnp.arange(i, i + 16)}, method='decode'
    )['image']
    for i in range(0, 64, 16)
  ]
  np.testing.assert_allclose(
    np.concatenate(chunks, axis=1), whole['image'], atol=1e-5
  )


def encoder_input(variables, x, **options):
  array, _ = make_model().apply(variables, x, method='encode', **options)
  return np.asarray(array)


def test_inputs_stand_in_sorted_order_padded_to_one_width(example):
  variables, x = example
  array = encoder_input(variables, x)
  padding = variables['params']['inputs']['padding']
  # 6 of audio, 2 * 2 * 4 patches of image, 1 label; 12 + 15 channels and 4.
  assert array.shape == (2, 6 + 16 + 1, 31)
  np.testing.assert_array_equal(array[:, :6, :4], x['audio'].reshape(2, 6, 4))
  np.testing.assert_array_equal(array[:, 22, :5], x['label'])
  for name, rows in ('audio', array[:, :6]), ('image', array[:, 6:22]):
    width = padding[name].size
    np.testing.assert_array_equal(
      rows[..., -width:],
      np.broadcast_to(padding[name], (*rows.shape[:2], width)),
    )
  assert [padding[name].size for name in sorted(padding)] == [20, 4, 26]


def test_masks(example):
  variables, x = example
  tokens = variables['params']['inputs']['mask']
  plain = encoder_input(variables, x)
  masked = encoder_input(variables, x, mask_probs={'label': 1.0})
  np.testing.assert_array_equal(masked[:, :22], plain[:, :22])
  np.testing.assert_array_equal(masked[:, 22], [tokens['label']] * 2)
  half = encoder_input(
    variables, x, mask_probs={'image': 0.5}, rngs={'mask': jax.random.key(3)}
  )
  replaced = (half == tokens['image']).all(-1)
  kept = (half == plain).all(-1)
  assert (replaced ^ kept).all()
  assert 0 < replaced[:, 6:22].sum() < 32 and not replaced[:, :6].any()


@pytest.mark.parametrize(
  'change, options, message',
  [
    (
      {'text': np.zeros(2)},
      {},
      r"inputs: found modalities \['audio', .*'text'",
    ),
    ({}, {'points': {'text': jnp.zeros(1, int)}}, r"points: .*\['text'\]"),
    ({}, {'mask_probs': {'text': 1.0}}, r"mask_probs: .*\['text'\]"),
  ],
)
def test_unknown_modalities(example, change, options, message):
  variables, x = example
  with pytest.raises(ValueError, match=message):
    make_model().apply(variables, {**x, **change}, **options)

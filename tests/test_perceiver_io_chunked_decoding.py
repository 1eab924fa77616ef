"""Decoding in chunks: the same outputs, encoded once, within the budget."""

import jax
import numpy as np
import pytest

from perceiver_io import chunked_decoding
from tests.small_autoencoder import (
  CLASSES,
  NUM_POINTS,
  SAMPLES,
  VIDEO,
  make_example,
  make_model,
)
from train_lib import cost


@pytest.fixture(scope='module')
def example():
  return make_example()


def decode(model, variables, x, num_chunks):
  inputs, latents = model.apply(variables, x, method='encode')
  return chunked_decoding.decode(
    model,
    variables,
    inputs,
    latents,
    num_points=NUM_POINTS,
    num_chunks=num_chunks,
  )


# As many as queries, more than audio has, no divisors, all at once.
@pytest.mark.parametrize('num_chunks', [64, 7, 5, 2, 1])
@pytest.mark.parametrize('half_open', [False, True])
def test_chunked_equals_unchunked(example, num_chunks, half_open):
  variables, x = example
  model = make_model(half_open_points=half_open)
  points = {name: np.arange(n) for name, n in NUM_POINTS.items()}
  points = points if half_open else None
  whole = jax.jit(model.apply)(variables, x, points=points)
  found = jax.jit(lambda *a: decode(model, *a, num_chunks))(variables, x)
  assert found.keys() == whole.keys()
  for name, expected in whole.items():
    np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_inputs_are_encoded_once(example):
  variables, x = example
  model = make_model()
  one, two, four, eight = (
    cost.multiply_adds(lambda x, k=k: decode(model, variables, x, k), x)
    for k in (1, 2, 4, 8)
  )
  # 6 patches are 3 + 3 and 4 of 2: a chunk more costs a label's query more,
  # and what its rounded-up share repeats.
  encode = cost.multiply_adds(
    lambda x: model.apply(variables, x, method='encode'), x
  )
  assert two - one < encode / 4
  assert eight - four < encode


def test_the_budget_decides_the_chunks():
  options = dict(query_channels=1026, num_logits=784, batch_size=2)
  points = {'audio': 1_920, 'image': 802_816}
  found = [
    chunked_decoding.choose_num_chunks(points, memory_mib=mib, **options)
    for mib in (1e6, 2_048, 1_024, 512)
  ]
  assert found[0] == 1
  # A query takes 3 x 1,026 numbers of 4 bytes, for each of two examples.
  ideal = 804_736 * 3 * 1_026 * 4 * 2 / 2**20
  for number, mib in zip(found[1:], (2_048, 1_024, 512), strict=True):
    assert ideal / mib <= number <= 1.01 * ideal / mib + 1
  with pytest.raises(ValueError, match=r'memory_mib: found 0.01, expected at'):
    chunked_decoding.choose_num_chunks(points, memory_mib=0.01, **options)


@pytest.mark.parametrize('num_latents', [3, 256])
def test_the_budget_is_kept(num_latents):
  """By XLA's own account; the rest are inputs that do not shrink."""
  model = make_model(num_latents)
  num_points = {'image': 4_096}
  model = model.copy(
    queries={
      **model.queries,
      'image': model.queries['image'].copy(index_dims=(4, 32, 32)),
    }
  )
  shape = jax.ShapeDtypeStruct
  variables = jax.eval_shape(
    model.init,
    jax.random.key(0),
    {
      'image': shape((1, *VIDEO, 3), 'float32'),
      'audio': shape((1, SAMPLES, 1), 'float32'),
      'label': shape((1, CLASSES), 'float32'),
    },
  )
  inputs = shape((1, 23, 31), 'float32')
  latents = shape((1, num_latents, 8), 'float32')

  def temporaries(mib):
    number = chunked_decoding.choose_num_chunks(
      num_points,
      query_channels=22,
      num_logits=num_latents,
      batch_size=1,
      memory_mib=mib,
    )
    program = jax.jit(
      lambda variables, inputs, latents: chunked_decoding.decode(
        model,
        variables,
        inputs,
        latents,
        num_points=num_points,
        num_chunks=number,
      )
    )
    program = program.lower(variables, inputs, latents).compile()
    return program.memory_analysis().temp_size_in_bytes / 2**20

  small, large = 0.125, 0.5
  fixed = temporaries(small)
  assert fixed < small + 0.1
  assert (
    0.5 * (large - small) < temporaries(large) - fixed < large - small + 0.1
  )

"""Multiply-adds against products counted by hand."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from perceiver_paca.ops import (
  attention,
  depthwise_conv,
  fused_attention,
  resize,
)
from train_lib import cost, sharding


def of(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_num_params():
  assert cost.num_params({'a': of(2, 3), 'b': [of(), of(4)]}) == 11


def test_init_tells_variables_and_products_of_what_is_returned():
  def init(rng, x):
    kernel = jax.random.normal(rng, (3, 5))
    unused = x @ x.T  # of something that only training returns
    return jnp.tanh(x @ kernel), {'kernel': kernel, 'sum': unused.sum()}

  variables, macs = cost.init_and_multiply_adds(init, of(2, 3))
  assert variables['kernel'].shape == (3, 5) and macs == 2 * 3 * 5


def test_largest_product_is_found_in_loops_and_calls():
  def fn(x, kernel):
    wide = jax.lax.map(jax.jit(lambda row: row @ kernel), x)  # [7] a time
    narrow = x @ kernel[:, :2]
    return jnp.concatenate([wide, narrow, jnp.zeros((3, 1000))], axis=1)

  assert cost.largest_product(fn, of(3, 5), of(5, 7)) == 4 * 7
  half = jax.ShapeDtypeStruct((3, 5), jnp.bfloat16)
  assert cost.largest_product(lambda x: x @ x.T, half) == 2 * 9
  assert cost.largest_product(jnp.tanh, half) == 0


def test_matrix_products():
  einsum = functools.partial(jnp.einsum, 'BNC,BMC->BNM')
  assert cost.multiply_adds(einsum, of(2, 3, 5), of(2, 7, 5)) == 2 * 3 * 7 * 5


@pytest.mark.parametrize('groups', [1, 2, 4])
def test_convolutions(groups):
  def fn(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      (2, 2),
      [(1, 1), (1, 1)],
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=groups,
    )

  # 3 x 4 outputs of 8 features, each a 3 x 3 window of 4 / groups channels.
  macs = cost.multiply_adds(fn, of(1, 6, 8, 4), of(3, 3, 4 // groups, 8))
  assert macs == 3 * 4 * 8 * 9 * 4 // groups


def test_depthwise_convolution_counts_though_no_platform_need_run_one():
  macs = cost.multiply_adds(
    depthwise_conv.depthwise_conv, of(2, 5, 6, 3), of(7, 7, 3)
  )
  assert macs == 2 * 5 * 6 * 3 * 49


def square(x):
  return x @ x


def seven_squares(x):
  return lax.scan(lambda c, _: (square(c), None), x, length=7)[0]


def square_or_not(x):
  return lax.cond(x[0, 0] > 0, square, lambda x: x, x)


@pytest.mark.parametrize(
  'fn, products',
  [
    (jax.jit(square), 1),
    (jax.checkpoint(square), 1),
    (lambda x: jax.vmap(square)(jnp.stack([x, x])), 2),
    (square_or_not, 1),
    (lambda x: seven_squares(square_or_not(x)), 8),
    (jax.value_and_grad(lambda x: square(x).sum()), 3),
  ],
)
def test_control_flow_and_transformed_functions(fn, products):
  assert cost.multiply_adds(fn, of(4, 4)) == products * 4**3


@pytest.mark.parametrize('split', [{'data': 4, 'tensor': 2}, {'inputs': 8}])
def test_a_mesh_changes_nothing(split):
  mesh = sharding.make_mesh(
    {'data': 1, 'fsdp': 1, 'tensor': 1, 'inputs': 1} | split
  )

  def fn(q, k):
    return attention.attention(q, k, k)

  args = of(8, 16, 4, 8), of(8, 32, 4, 8)
  whole = cost.multiply_adds(fn, *args)
  assert whole == 2 * 8 * 4 * 16 * 32 * 8
  assert cost.multiply_adds(sharding.on_mesh(mesh, fn), *args) == whole


def test_kernels_count_for_every_block():
  def fn(q):
    mask = jnp.ones((1, 1, q.shape[1]), bool)
    return fused_attention.splash_attention(q, q, q, mask, 1.0)

  # Two products of two examples, two heads, 512 queries and keys.
  macs = cost.multiply_adds(fn, of(2, 512, 2, 128))
  assert macs == 2 * 2 * 2 * 512 * 512 * 128


def test_interpolation_does_not_count():
  fn = functools.partial(resize.resize_bilinear, size=(4, 4))
  assert cost.multiply_adds(fn, of(1, 2, 2, 3)) == 0
  assert cost.multiply_adds(fn, of(1, 2, 2, 3), uncounted=()) > 0


def test_loop_of_unknown_length_with_products_is_refused():
  def fn(x):
    return lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, x)

  with pytest.raises(ValueError, match='while'):
    cost.multiply_adds(fn, of(2, 2))

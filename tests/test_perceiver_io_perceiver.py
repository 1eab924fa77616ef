"""What must hold of encoder, inputs, queries and positions at any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from perceiver_io import initializers, inputs, models, outputs
from perceiver_io.attention import Attention, CrossAttention, SelfAttention
from perceiver_io.convolution import BatchNorm
from perceiver_io.perceiver import Encoder
from perceiver_io.position_encoding import FourierPositions, LearnedPositions
from tools.compile_check import hlo
from train_lib import sharding, stacking


def random(*shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def make_encoder(**options):
  return Encoder(
    **{
      'num_latents': 4,
      'latent_channels': 8,
      'cross_attend': CrossAttention(1),
      'self_attend': SelfAttention(2),
      'num_self_attends_per_block': 2,
      **options,
    }
  )


def init(module, *args):
  """Variables of which none is zero, so that every one of them matters."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: (0.4 * rng.standard_normal(x.shape)).astype(x.dtype),
    jax.eval_shape(module.init, jax.random.key(0), *args),
  )


def apply(module, *args, **kwargs):
  return jax.jit(module.apply)(*args, **kwargs)


def num_params(variables):
  return sum(x.size for x in jax.tree.leaves(variables['params']))


def test_order_of_the_inputs_does_not_matter():
  x = random(2, 7, 6)
  encoder = make_encoder()
  variables = init(encoder, x)
  order = np.random.default_rng(1).permutation(7)
  out = apply(encoder, variables, x)
  permuted = apply(encoder, variables, x[:, order])
  np.testing.assert_allclose(out, permuted, atol=1e-5)
  assert np.ptp(out, axis=1).min() > 1e-3  # latents do differ


def test_masked_inputs_do_not_exist():
  x = random(2, 7, 6)
  encoder = make_encoder()
  variables = init(encoder, x)
  mask = np.ones((2, 7), np.int32)
  mask[:, 5:] = 0
  np.testing.assert_allclose(
    apply(encoder, variables, x, mask),
    apply(encoder, variables, x[:, :5]),
    atol=1e-5,
  )
  gradient = jax.jit(
    jax.grad(lambda x: apply(encoder, variables, x, mask).sum())
  )(x)
  np.testing.assert_array_equal(gradient[:, 5:], 0)
  assert np.abs(gradient[:, :5]).min() > 0


def test_repeated_cross_attends_read_the_inputs_again():
  """Cutting the first cross-attend off, only repetition still sees inputs."""
  x = random(1, 7, 6)
  encoder = make_encoder(num_blocks=2, num_cross_attends=2)
  variables = init(encoder, x)
  output = variables['params']['cross_attend_0']['attention']['output']
  output['kernel'] = jnp.zeros_like(output['kernel'])
  gradient = jax.jit(jax.grad(lambda x: apply(encoder, variables, x).sum()))(x)
  assert np.abs(gradient).max() > 1e-3


def language_model(**options):
  sizes = dict(
    vocab_size=20,
    max_length=12,
    token_channels=8,
    num_latents=4,
    latent_channels=12,
    qk_channels=8,
    num_heads=2,
    num_self_attends=2,
  )
  return models.masked_language_modelling(**sizes | options)


def test_language_model_of_a_short_text_is_that_of_a_padded_one():
  ids = np.random.default_rng(0).integers(0, 20, (2, 12))
  model = language_model()
  variables = init(model, ids)
  mask = np.arange(12)[None] < [[7], [7]]
  padded = apply(model, variables, ids, input_mask=mask, query_mask=mask)
  short = apply(model, variables, ids[:, :7])
  assert short.shape == (2, 7, 20)
  np.testing.assert_allclose(short, padded[:, :7], atol=1e-5)
  with pytest.raises(ValueError, match='found 13 tokens.*max_length = 12'):
    apply(model, variables, np.zeros((1, 13), int))


def test_half_precision_computes_close_to_float32():
  ids = np.random.default_rng(0).integers(0, 20, (2, 12))
  variables = init(language_model(), ids)
  exact = apply(language_model(), variables, ids)
  half = language_model(dtype=jnp.bfloat16)
  tree = jax.eval_shape(half.init, jax.random.key(0), ids)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(tree))
  np.testing.assert_allclose(apply(half, variables, ids), exact, atol=0.15)
  assert np.abs(exact).max() > 1


def test_fourier_model_takes_any_resolution():
  positions = FourierPositions(3, (8, 8))
  large = positions.apply({}, (15, 8)).reshape(15, 8, -1)
  small = positions.apply({}, (8, 8)).reshape(8, 8, -1)
  np.testing.assert_allclose(large[::2], small, atol=1e-6)
  with pytest.raises(ValueError, match=r'max_resolution: found \(8, 8\)'):
    positions.apply({}, (8,))


def test_fourier_features_do_not_drift_at_high_frequencies():
  """Float32 phases would be off by 1e-2 for the audio of the autoencoder."""
  features = jax.jit(
    lambda: FourierPositions(192, (30720,)).apply({}, (1920,))
  )()
  with jax.enable_x64(True):
    exact = FourierPositions(192, (30720,)).apply({}, (1920,), dtype='float64')
  np.testing.assert_allclose(features, exact, atol=1e-7)


def test_points_lie_on_the_grid_or_where_the_reference_puts_them():
  points = jnp.asarray([[0, 5, 2], [3, 3, 1]])
  table = FourierPositions(2).apply({}, (2, 3))
  found = FourierPositions(2).apply({}, (2, 3), points)
  np.testing.assert_array_equal(found, table[points])
  half_open = FourierPositions(2, half_open_points=True)
  found = half_open.apply({}, (2, 3), points)
  np.testing.assert_allclose(found[0, 1, :2], [0, 1 / 3], atol=1e-7)
  np.testing.assert_array_equal(half_open.apply({}, (2, 3)), table)


def test_learned_positions_at_other_sizes():
  positions = LearnedPositions((4, 6), 3, interpolate=True)
  variables = positions.init(jax.random.key(0))
  own = positions.apply(variables)
  np.testing.assert_array_equal(positions.apply(variables, (4, 6)), own)
  flat = {'params': {'table': jnp.ones((24, 3)) * jnp.arange(3)}}
  larger = positions.apply(flat, (8, 9))
  np.testing.assert_allclose(larger, np.tile(np.arange(3), (72, 1)), atol=1e-5)
  ramp = jnp.repeat(jnp.arange(4.0), 6)[:, None] * jnp.ones(3)
  larger = positions.apply({'params': {'table': ramp}}, (8, 6))
  centre = larger.reshape(8, 6, 3)[3:5, 0, 0]
  np.testing.assert_allclose(centre, [1.25, 1.75], atol=1e-5)

  points = jnp.asarray([5, 0])
  np.testing.assert_array_equal(
    positions.apply(variables, points=points), own[points]
  )
  with pytest.raises(ValueError, match=r'found \(8, 9\).*learned for \(4, 6\)'):
    LearnedPositions((4, 6), 3).apply(variables, (8, 9))


def test_batch_norm_averages_without_their_start():
  """After any number of equal batches the averages are the batch's own."""
  x = random(16, 3) * 2 + 5
  module = BatchNorm()
  variables = module.init(jax.random.key(0), x, train=True)
  np.testing.assert_array_equal(variables['batch_stats']['counter'], 0)
  for _ in range(3):
    out, state = module.apply(variables, x, train=True, mutable='batch_stats')
    variables = {**variables, **state}
  np.testing.assert_allclose(state['batch_stats']['mean'], x.mean(0), rtol=1e-5)
  np.testing.assert_allclose(state['batch_stats']['var'], x.var(0), rtol=1e-4)
  evaluated = module.apply(variables, x, train=False)
  np.testing.assert_allclose(evaluated, out, atol=1e-4)


def test_initial_values_are_those_of_the_reference():
  def std(kernel):
    return float(np.std(kernel) * np.sqrt(kernel.shape[-2]))

  x = random(1, 9, 400)
  attention = Attention(1).init(jax.random.key(0), x, x)['params']
  for layer in attention.values():
    assert abs(std(layer['kernel']) - 1) < 0.01
    assert not layer['bias'].any()
  head = outputs.Projection(400).init(jax.random.key(0), x)['params']
  assert abs(std(head['linear']['kernel']) - 0.8796) < 0.01
  table = initializers.learned_array(jax.random.key(0), (400, 400), 'float32')
  assert abs(np.std(table) - 0.0176) < 2e-4
  assert np.abs(table).max() <= 0.04
  embedding = inputs.TokenInputs(400, 400, 5, 1.0).init(
    jax.random.key(0), np.zeros((1, 5), int)
  )['params']['embedding']
  assert abs(np.std(embedding) - 0.8796) < 0.01
  for module, x in (
    (outputs.Flow(3, 3), random(1, 9, 4)),
    (outputs.MeanLogits(5), random(1, 9, 4)),
  ):
    variables = module.init(jax.random.key(0), x)
    assert not module.apply(variables, x).any()


@pytest.mark.parametrize(
  'module, args, message',
  [
    (
      Attention(3, qk_channels=8),
      (random(1, 2, 8), random(1, 3, 8)),
      'qk_channels: found 8, expected a multiple of num_heads = 3',
    ),
    (
      Attention(2, v_channels=7),
      (random(1, 2, 8), random(1, 3, 8)),
      'v_channels: found 7',
    ),
    (
      SelfAttention(2, v_channels=4),
      (random(1, 2, 8),),
      'v_channels: found 4, expected the 8 channels',
    ),
    (
      make_encoder(num_cross_attends=2),
      (random(1, 2, 8),),
      'num_cross_attends: found 2, expected 1 to num_blocks = 1',
    ),
    (
      make_encoder(),
      (random(2, 5, 8), np.ones((2, 4))),
      r'key_mask: found shape \(2, 4\), expected \(2, 5\)',
    ),
    (inputs.AudioPatches(4), (random(1, 6, 1),), 'audio: found 6 samples'),
    (inputs.OneHotLabel(4), (random(1, 3),), r'label: found shape \(1, 3\)'),
    (inputs.Patches(2), (random(1, 4, 5, 3),), 'x: found shape'),
    (
      inputs.FramePair(4),
      (random(1, 3, 4, 4, 3),),
      r'frames: found shape .*expected \[B, 2, H, W, C\]',
    ),
    (outputs.ClassLogits(4), (random(1, 2, 8),), r'expected \[B, 1, C\]'),
  ],
)
def test_errors_name_what_is_wrong(module, args, message):
  with pytest.raises(ValueError, match=message):
    module.init(jax.random.key(0), *args)


@pytest.mark.full
def test_fsdp_gathers_parameters_and_no_examples():
  """Left to itself, XLA gathers hidden channels and tokens of all examples."""
  model = language_model(
    vocab_size=300, token_channels=64, latent_channels=128, scan_layers=True
  )
  ids = jnp.zeros((64, 12), jnp.int32)
  axes = sharding.make_mesh({'data': 2, 'fsdp': 4, 'tensor': 1})
  variables = jax.eval_shape(model.init, jax.random.key(0), ids)
  shardings = sharding.make_shardings(
    variables, axes, common.parallel()['sharding']
  )

  def loss(variables, ids):
    return jnp.sum(jnp.sin(model.apply(variables, ids)))

  program = jax.jit(
    sharding.on_mesh(axes, jax.grad(loss)),
    in_shardings=(shardings, sharding.batch_sharding(axes)),
    out_shardings=shardings,
  )
  lowered = program.lower(variables, ids)
  text = lowered.compile({'xla_backend_optimization_level': 0}).as_text()
  layers = jax.eval_shape(stacking.unstacked, variables)
  allowed = {x.shape for x in jax.tree.leaves(layers)}
  gathered = {
    tuple(n for n in shape if n > 1)
    for c in hlo.Program(text).collectives()
    if c.kind == 'all-gather'
    for shape, _ in c.results
  }
  assert gathered and gathered <= allowed

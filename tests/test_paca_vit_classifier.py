"""PaCa-ViT against the authors' code: outputs, gradients, statistics, sizes."""

import json

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import classifier, names
from tests import golden_paca
from train_lib import losses

SIZES = json.loads((golden_paca.FOLDER / 'sizes.json').read_text())
CASES = [
  ('tiny_p2cconv_100_0', 64),
  ('tiny_p2cconv_100_0', 224),
  ('small_p2cmlp_100_0', 224),
  ('convmixer_small_100', 224),
]


def test_the_numpy_stream_is_the_goldens_own():
  for variant, size in CASES:
    image = golden_paca.images(2, size, size)
    want = golden_paca.load(f'{variant}_{size}x{size}')['input_check']
    got = [
      image.sum(dtype=np.float64),
      image[0, 0, 0, 0],
      image[-1, -1, -1, -1],
    ]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
  'case, dtype, tolerance',
  [
    (CASES[0], 'float64', 1e-9),
    pytest.param(CASES[1], 'float32', 3e-5, marks=pytest.mark.full),
    pytest.param(CASES[2], 'float64', 1e-9, marks=pytest.mark.full),
    pytest.param(CASES[3], 'float32', 3e-5, marks=pytest.mark.full),
  ],
)
def test_logits_and_everything_on_the_way(case, dtype, tolerance):
  variant, size = case
  golden = golden_paca.load(f'{variant}_{size}x{size}')
  with jax.enable_x64(dtype == 'float64'):
    model, variables = golden_paca.model_and_variables(variant, dtype)

    @golden_paca.jit
    def run(variables, images):
      return model.apply(
        variables,
        images,
        train=False,
        return_features=True,
        capture_intermediates=True,
      )

    (logits, features), state = jax.tree.map(
      np.asarray, run(variables, golden_paca.images(2, size, size, dtype))
    )
  assert logits.dtype == dtype
  np.testing.assert_allclose(
    logits, golden['logits_f64'], atol=tolerance, rtol=0
  )
  taps = _taps(model, features, state['intermediates'])
  wanted = {k: v for k, v in golden.items() if k.startswith('tap/')}
  assert len(wanted) > 60
  for name, want in wanted.items():
    np.testing.assert_allclose(
      taps[name], want, atol=tolerance, rtol=tolerance, err_msg=name
    )


def _taps(model, features, intermediates):
  """Our intermediate values in the form and under the names of the goldens."""
  flat = flax.traverse_util.flatten_dict(intermediates['backbone'], sep='/')
  outputs = {
    path.removesuffix('/__call__'): value[0] for path, value in flat.items()
  }
  taps = {}

  def summary(x, token):
    return np.concatenate([[x.mean(), x.std()], token[:8]])

  def add_map(name, x):
    taps[f'tap/{name}'] = summary(x, x[0, 0, 0])

  def add_tokens(name, x):
    x = x.reshape(len(x), -1, x.shape[-1])
    taps[f'tap/{name}'] = summary(x, x[0, 0])
    taps[f'tap/{name}_last'] = x[-1, -1, :8]

  add_map('stem', outputs['stem'])
  for s, stage in enumerate(model.backbone.stages, 1):
    if s > 1:
      add_map(f'trans{s - 1}', outputs[f'transition_{s - 1}'])
    block = f'stage_{s}_block_0/attention'
    if f'{block}/cluster_norm' in outputs:
      add_tokens(f'c{s}b0', outputs[f'{block}/cluster_norm'])
    q, k = outputs[f'{block}/query'], outputs[f'{block}/key']
    q, k = (x.reshape(*x.shape[:2], stage.num_heads, -1) for x in (q, k))
    weights = np.einsum('hd,mhd->hm', q[0, 0], k[0]) / q.shape[-1] ** 0.5
    weights = np.exp(weights) / np.exp(weights).sum(-1, keepdims=True)
    taps[f'tap/attn{s}b0'] = weights[:, :8]
    for j in range(stage.depth):
      x = outputs[f'stage_{s}_block_{j}'][0]
      add_tokens(f's{s}b{j}', x)
      z = features.assignments[s - 1][j]
      if z is not None:
        taps[f'tap/z{s}b{j}'] = z[0, :4, :8]
        taps[f'tap/z{s}b{j}_stats'] = [z.mean(), z.std(), z.max(), z.min()]
        taps[f'tap/z{s}b{j}_argmax'] = z[0, :8].argmax(-1)
    if 'teacher' in outputs:
      bottom_up = outputs['teacher'][0][s - 1]
      add_tokens(f'teacher{s}', bottom_up)
      x = x + bottom_up
      if s < 4:
        add_map(f'teacher_trans{s}', outputs[f'teacher/transition_{s}'])
        add_map(f'teacher_fpn{s}', outputs[f'teacher/pyramid_{s}'])
    add_tokens(f's{s}_prenorm', x)
    add_tokens(f's{s}', features.maps[s - 1])
  return taps


def _check_gradients(gradients, golden):
  theirs = names.to_state_dict(jax.tree.map(np.asarray, gradients))
  keys = [key for key in golden if key.startswith('grad/')]
  assert len(keys) > 200
  for name in keys:
    gradient = theirs[name.removeprefix('grad/')]
    got = [np.linalg.norm(gradient), *gradient.ravel()[:4]]
    np.testing.assert_allclose(
      got, golden[name], rtol=1e-8, atol=1e-10, err_msg=name
    )


@pytest.mark.full
def test_gradients_in_float64():
  golden = golden_paca.load('extra_tiny_p2cconv_100_0_64x64_grads')
  with jax.enable_x64(True):
    model, variables = golden_paca.model_and_variables(
      'tiny_p2cconv_100_0', 'float64'
    )

    @golden_paca.jit
    @jax.value_and_grad
    def loss_and_gradients(params, images):
      logits = model.apply({'params': params}, images, train=False)
      labels = jnp.array([7, 421])
      return losses.softmax_cross_entropy(logits, labels).mean()

    loss, gradients = loss_and_gradients(
      variables['params'], golden_paca.images(2, 64, 64, np.float64)
    )
  np.testing.assert_allclose(loss, golden['loss'], rtol=1e-10)
  _check_gradients({'params': gradients}, golden)


@pytest.mark.full
def test_training_with_batch_statistics_in_float64():
  golden = golden_paca.load('extra_convmixer_small_100_128x128_train')
  with jax.enable_x64(True):
    model, variables = golden_paca.model_and_variables(
      'convmixer_small_100', 'float64'
    )

    @golden_paca.jit
    def step(variables, images):
      def loss(params):
        logits, state = model.apply(
          {**variables, 'params': params},
          images,
          train=True,
          mutable=['batch_stats'],
        )
        labels = jnp.array([7, 421])
        loss = losses.softmax_cross_entropy(logits, labels).mean()
        return loss, (logits, state)

      return jax.value_and_grad(loss, has_aux=True)(variables['params'])

    (loss, (logits, state)), gradients = step(
      variables, golden_paca.images(2, 128, 128, np.float64)
    )
  np.testing.assert_allclose(loss, golden['loss'], rtol=1e-10)
  np.testing.assert_allclose(logits, golden['logits'], atol=1e-9, rtol=0)
  _check_gradients({'params': gradients}, golden)
  theirs = names.to_state_dict(jax.tree.map(np.asarray, state))
  keys = [key for key in golden if key.startswith('after/')]
  assert len(keys) > 50
  for name in keys:
    if name.endswith('num_batches_tracked'):
      continue
    got = theirs[name.removeprefix('after/')][:4]
    np.testing.assert_allclose(got, golden[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize('variant', golden_paca.by_tier(SIZES))
def test_parameters_and_multiply_adds(variant):
  model = classifier.make_classifier(models.model(variant))
  num_params, macs = golden_paca.counts(model, 224)
  assert num_params == SIZES[variant]['params']
  np.testing.assert_allclose(macs, SIZES[variant]['macs_224'], rtol=1e-3)

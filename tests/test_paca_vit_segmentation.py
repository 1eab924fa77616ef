"""Segmenters against the authors' code, and heads against plain loops."""

import json
import math

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit import names, segmentation
from perceiver_paca.ops import resize
from tests import golden_paca

SIZES = json.loads((golden_paca.FOLDER / 'segmentation_sizes.json').read_text())
PUBLISHED = 'small_p2cconv_100_0'


def make(name, num_classes=150):
  """A row of the README: '<variant>_pacahead' or '<variant>_upernet'."""
  variant, _, head = name.rpartition('_')
  config = {
    'pacahead': models.paca_segmenter,
    'upernet': models.uper_segmenter,
  }[head](variant, num_classes)
  return segmentation.make_segmenter(config)


@pytest.mark.parametrize('name', golden_paca.by_tier(SIZES))
def test_parameters_and_multiply_adds(name):
  num_params, macs = golden_paca.counts(make(name), 512)
  assert num_params == SIZES[name]['params']
  np.testing.assert_allclose(macs, SIZES[name]['macs_512'], rtol=1e-3)


@pytest.mark.full
@pytest.mark.parametrize(
  'dtype, tolerance', [('float32', 2e-5), ('float64', 1e-10)]
)
def test_logits_and_everything_in_the_head(dtype, tolerance):
  golden = golden_paca.load(f'seg_{PUBLISHED}_pacahead_128x128')
  with jax.enable_x64(dtype == 'float64'):
    model, variables = golden_paca.segmenter_and_variables(PUBLISHED, dtype)

    @golden_paca.jit
    def run(variables, images):
      return model.apply(
        variables,
        images,
        train=False,
        capture_intermediates=lambda module, _: 'decode_head' in module.path,
      )

    outputs, state = jax.tree.map(
      np.asarray, run(variables, golden_paca.images(2, 128, 128, dtype))
    )
  logits = outputs.logits
  assert logits.dtype == dtype and logits.shape == (2, 32, 32, 150)
  every = logits.transpose(0, 3, 1, 2)[:, ::10, ::4, ::4]
  np.testing.assert_allclose(
    every, golden['logits_sub_f64'], atol=tolerance, rtol=0
  )
  np.testing.assert_allclose(
    [logits.mean(), logits.std(), logits.min(), logits.max()],
    golden['logits_stats_f64'],
    atol=tolerance,
  )
  np.testing.assert_allclose(
    logits.mean(axis=(0, 1, 2)),
    golden['logits_channel_mean_f64'],
    atol=tolerance,
  )
  taps = head_taps(state['intermediates']['decode_head'], outputs)
  wanted = {k for k in golden if k.startswith('tap/head_')}
  assert set(taps) == wanted and len(wanted) == 15
  for name, value in taps.items():
    np.testing.assert_allclose(
      value, golden[name], atol=tolerance, rtol=tolerance, err_msg=name
    )


def head_taps(intermediates, outputs):
  flat = flax.traverse_util.flatten_dict(intermediates, sep='/')
  taps = {}

  def add(name, x, last=False):
    tokens = x.reshape(len(x), -1, x.shape[-1])
    summary = [x.mean(), x.std(), *tokens[0, 0, :8]]
    taps[f'tap/head_{name}'] = summary
    if last:
      taps[f'tap/head_{name}_last'] = tokens[-1, -1, :8]

  for i in range(4):
    add(f'conv{i}', flat[f'level_{i}/__call__'][0])
  for name, ours in (('q', 'query'), ('k', 'key'), ('v', 'value')):
    add(name, flat[f'{ours}/__call__'][0], last=True)
  add('proj', flat['out/__call__'][0])
  clusters = outputs.auxiliary_logits
  add('c_raw', clusters)
  z = np.exp(clusters.reshape(2, -1, 150)).swapaxes(1, 2)
  z /= z.sum(axis=-1, keepdims=True)
  taps['tap/head_z'] = z[0, :4, :8]
  taps['tap/head_z_stats'] = [z.mean(), z.std(), z.max(), z.min()]
  taps['tap/head_z_argmax'] = z[0, :8].argmax(-1)
  return taps


def test_names_and_shapes_are_the_published_ones():
  path = (
    golden_paca.FOLDER / 'segmentation_specs' / f'{PUBLISHED}_pacahead.json'
  )
  want = {
    name: tuple(shape)
    for name, shape, _ in json.loads(path.read_text())['tensors']
  }
  shapes = golden_paca.shapes_of(make(f'{PUBLISHED}_pacahead'))
  theirs = jax.eval_shape(names.to_state_dict, shapes)
  assert {name: x.shape for name, x in theirs.items()} == want


@pytest.mark.parametrize(
  'name', ['tiny_p2cconv_100_0_upernet', 'convmixer_tiny_100_pacahead']
)
def test_round_trip_is_exact(name):
  variables = golden_paca.random_variables(
    golden_paca.shapes_of(make(name, num_classes=3))
  )
  theirs = names.to_state_dict(variables)
  assert all(n.startswith(('backbone.', 'decode_', 'auxil')) for n in theirs)
  if 'upernet' in name:
    assert theirs['decode_head.psp_modules.3.1.conv.weight'].shape[:2] == (
      *(512, 384),
    )
    assert theirs['auxiliary_head.conv_seg.weight'].shape == (3, 256, 1, 1)
  back = names.from_state_dict(theirs, variables)
  jax.tree.map(np.testing.assert_array_equal, back, variables)


SMALL = dict(channels=(8, 12), depths=(1, 1), num_heads=(2, 2))


def small(head=models.paca_segmenter, **options):
  config = head('tiny_p2cconv_100_0', 5)
  config.update(SMALL, num_clusters=(4, 0), **options)
  config.decode_head.channels = 8
  if config.auxiliary_head is not None:
    config.auxiliary_head = dict(channels=4, dropout_rate=0.1, stage=2)
  model = segmentation.make_segmenter(config)
  return model, golden_paca.random_variables(golden_paca.shapes_of(model))


@pytest.mark.parametrize('head', [models.paca_segmenter, models.uper_segmenter])
@pytest.mark.parametrize('size', [(37, 50), (8, 5)])
def test_any_size_and_examples_do_not_mix(head, size):
  model, variables = small(head)
  images = golden_paca.images(3, *size)
  run = golden_paca.jit(lambda x: model.apply(variables, x, train=False).logits)
  logits = run(images)
  quarter = (math.ceil(math.ceil(s / 2) / 2) for s in size)
  assert logits.shape == (3, *quarter, 5)
  other = images.copy()
  other[1] = 0
  changed = np.abs(run(other) - logits).max(axis=(1, 2, 3))
  assert changed[1] > 1e-3 and changed[0] == changed[2] == 0


@pytest.mark.full
def test_auxiliary_head_works_in_training_alone():
  model, variables = small(models.uper_segmenter)
  images = golden_paca.images(2, 32, 32)
  evaluated = jax.eval_shape(lambda x: model.apply(variables, x, False), images)
  assert evaluated.auxiliary_logits is None

  @golden_paca.jit
  def run(params):
    return model.apply(
      variables | {'params': params},
      images,
      train=True,
      mutable=['batch_stats'],
      rngs={n: jax.random.key(0) for n in ('dropout', 'drop_path')},
    )[0]

  params = variables['params']
  first = run(params)
  assert first.auxiliary_logits.shape == (2, 4, 4, 5)  # of the second stage
  for changed, kept, head in (
    ('logits', 'auxiliary_logits', 'decode_head'),
    ('auxiliary_logits', 'logits', 'auxiliary_head'),
  ):
    other = run(params | {head: jax.tree.map(lambda x: 2 * x, params[head])})
    np.testing.assert_array_equal(getattr(other, kept), getattr(first, kept))
    assert abs(getattr(other, changed) - getattr(first, changed)).max() > 1e-2


def test_dropout_takes_whole_channels():
  module = segmentation.PixelOutputs(num_outputs=4, dropout_rate=0.5)
  x = jnp.ones((2, 3, 3, 4))
  params = {'linear': {'kernel': jnp.eye(4), 'bias': jnp.zeros(4)}}
  rngs = {'dropout': jax.random.key(0)}
  out = module.apply({'params': params}, x, True, rngs=rngs)
  assert {0.0, 2.0} == set(np.unique(out))
  np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1, :1], out.shape))
  np.testing.assert_array_equal(module.apply({'params': params}, x, False), x)


@pytest.mark.parametrize('size, grid', [((7, 5), (3, 2)), ((4, 4), (6, 1))])
def test_adaptive_average_pool_is_the_mean_of_boxes(size, grid):
  x = golden_paca.normal('pool', (2, *size, 3)).astype(np.float64)
  want = np.empty((2, *grid, 3))
  for i in range(grid[0]):
    for j in range(grid[1]):
      rows = slice(i * size[0] // grid[0], -(-(i + 1) * size[0] // grid[0]))
      columns = slice(j * size[1] // grid[1], -(-(j + 1) * size[1] // grid[1]))
      want[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
  got = resize.adaptive_average_pool(jnp.asarray(x, jnp.float32), grid)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_unknown_head_is_named():
  config = models.paca_segmenter('tiny_p2cconv_100_0', 5)
  config.decode_head.kind = 'AsppHead'
  with pytest.raises(ValueError, match="decode_head.kind.*found 'AsppHead'"):
    segmentation.make_segmenter(config)

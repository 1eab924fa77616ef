"""mmdetection's names, what the published detectors cost, how they start."""

import functools
import json
import math

import flax
import jax
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit.detection import mask_rcnn, names
from tests import detection_models, golden_detection, golden_paca
from train_lib import cost

# Detectors take long to compile.
pytestmark = pytest.mark.full

VARIANTS = models.MASK_RCNN_VARIANTS
SPECS = golden_detection.FOLDER / 'state_specs'


def detector(variant):
  return mask_rcnn.make_detector(models.mask_rcnn(variant, 80))


def shape(*sizes, dtype=np.float32):
  return jax.ShapeDtypeStruct(sizes, dtype)


@functools.cache
def shapes_of(variant):
  model = detector(variant)
  return jax.eval_shape(
    model.init, jax.random.key(0), shape(1, 64, 64, 3), shape(1, 2, dtype='i4')
  )


def summary(variant):
  specs = json.loads(
    (golden_detection.FOLDER / 'specs_summary.json').read_text()
  )
  return specs[f'pacavit_{variant}']


@pytest.mark.parametrize('variant', VARIANTS)
def test_parameters_of_every_part(variant):
  params = shapes_of(variant)['params']
  want = summary(variant)
  assert cost.num_params(params) == want['params']
  assert {k: cost.num_params(v) for k, v in params.items()} == {
    'backbone': want['parts']['backbone'],
    'pyramid': want['parts']['neck'],
    'rpn_head': want['parts']['rpn_head'],
    'box_head': want['parts']['roi_head.bbox_head'],
    'mask_head': want['parts']['roi_head.mask_head'],
  }


@pytest.mark.parametrize(
  'variant, size',
  [
    ('tiny_p2cconv_100_0', '1280x800'),
    ('convmixer_base_100', '800x1216'),
    *(
      pytest.param(variant, size, marks=pytest.mark.slow)
      for variant in VARIANTS
      for size in ('1280x800', '800x1216', '800x1344')
    ),
  ],
)
def test_multiply_adds_of_every_part(variant, size):
  want = json.loads((golden_detection.FOLDER / 'macs.json').read_text())
  want = want[variant][size]
  height, width = map(int, size.split('x'))
  model, variables = detector(variant), shapes_of(variant)

  def count(method, *args):
    apply = functools.partial(model.apply, method=method)
    return cost.multiply_adds(apply, variables, *args) / 1e9

  def backbone(model, images):
    return model.backbone(images, train=False).maps

  images = shape(1, height, width, 3)
  maps = jax.eval_shape(
    functools.partial(model.apply, method=backbone), variables, images
  )
  pyramid = [
    shape(1, -(-height // s), -(-width // s), 256)
    for s in golden_detection.STRIDES
  ]
  found = {
    'backbone': count(backbone, images),
    'neck': count(lambda m, x: m.pyramid(x), maps),
    'rpn': count(lambda m, x: m.rpn_head(x), pyramid),
    'box_1000': count(lambda m, x: m.box_head(x), shape(1, 1000, 7, 7, 256)),
    'mask_100': count(lambda m, x: m.mask_head(x), shape(1, 100, 14, 14, 256)),
  }
  for part, value in found.items():
    # As many digits as are known.
    assert value == pytest.approx(want[part], abs=6e-4), part


@pytest.mark.parametrize('path', sorted(SPECS.iterdir()), ids=lambda p: p.stem)
def test_names_and_shapes_are_the_published_ones(path):
  want = {k: tuple(v) for k, v in json.loads(path.read_text()).items()}
  theirs = jax.eval_shape(
    names.to_state_dict, shapes_of(path.stem.removeprefix('mask_rcnn_'))
  )
  assert {name: x.shape for name, x in theirs.items()} == want


def small_variables(dtype):
  """Shapes of a small detector's on a teacher's backbone, and its tensors."""
  config = models.mask_rcnn('convmixer_tiny_100', 3)
  config.update(
    dict(
      channels=(4, 6, 8, 10),
      depths=(1, 1, 1, 1),
      num_heads=(2, 2, 2, 2),
      num_clusters=(5, 5, 5, 5),
      pyramid_channels=6,
      box_channels=7,
    )
  )
  config.clustering.depths = (1, 1, 1, 1)
  model = mask_rcnn.make_detector(config)
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), shape(1, 64, 64, 3), shape(1, 2, dtype='i4')
  )
  wanted = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, np.dtype(dtype)), shapes
  )
  theirs = jax.eval_shape(names.to_state_dict, shapes)
  tensors = {
    name: golden_paca.normal(name, x.shape).astype(dtype)
    for name, x in theirs.items()
    if not name.endswith(('blur_filter', 'num_batches_tracked'))
  }
  return wanted, tensors


def test_round_trip_is_exact():
  wanted, tensors = small_variables('float64')
  variables = names.from_state_dict(tensors, wanted)
  assert jax.tree.structure(variables) == jax.tree.structure(wanted)
  back = names.to_state_dict(variables)
  for name, value in tensors.items():
    np.testing.assert_array_equal(back[name], value, err_msg=name)
  # Their grid is flattened by channel, row and column.
  fc1 = variables['params']['box_head']['fc1']['kernel']
  theirs = tensors['roi_head.bbox_head.shared_fcs.0.weight']
  assert fc1[2, 5, 3, 4] == theirs[4, 3 * 49 + 2 * 7 + 5]
  upsample = variables['params']['mask_head']['upsample']['kernel']
  theirs = tensors['roi_head.mask_head.upsample.weight']
  assert upsample[1, 0, 4, 2] == theirs[2, 4, 1, 0]


def test_everything_that_does_not_fit_is_listed():
  wanted, tensors = small_variables('float32')
  del tensors['rpn_head.rpn_cls.bias']
  name = 'roi_head.bbox_head.shared_fcs.0.weight'
  tensors[name] = tensors[name][:, :-1]
  tensors['roi_head.bbox_head.extra'] = np.zeros(3)
  with pytest.raises(ValueError) as e:
    names.from_state_dict(tensors, wanted)
  assert 'no tensor rpn_head.rpn_cls.bias' in str(e.value)
  assert f'expected {name} of shape (7, 294)' in str(e.value)
  assert 'roi_head.bbox_head.extra: a tensor without a variable' in str(e.value)


def test_initialisation():
  # Of the published widths, on maps of few channels.
  model = detection_models.small_detector(256, 1024, 80, 'float32')
  maps = [np.zeros((1, s, s, 8), np.float32) for s in (16, 8, 4, 2)]
  init = jax.jit(model.init)
  params = init(jax.random.key(1), maps, np.int32([[64, 64]]))['params']
  flat = flax.traverse_util.flatten_dict(params, sep='/')

  def xavier(fan_in, fan_out):
    return 'uniform', math.sqrt(2 / (fan_in + fan_out))

  want = {
    'pyramid/lateral_1': xavier(8, 256),
    'pyramid/output_2': xavier(9 * 256, 9 * 256),
    'rpn_head/hidden': ('normal', 0.01),
    'rpn_head/objectness': ('normal', 0.01),
    'rpn_head/deltas': ('normal', 0.01),
    'box_head/fc1': xavier(49 * 256, 1024),
    'box_head/fc2': xavier(1024, 1024),
    'box_head/logits': ('normal', 0.01),
    'box_head/deltas': ('normal', 0.001),
    'mask_head/conv_0': ('normal', math.sqrt(2 / (9 * 256))),
    'mask_head/conv_3': ('normal', math.sqrt(2 / (9 * 256))),
    'mask_head/upsample': ('normal', math.sqrt(2 / 1024)),
    'mask_head/logits': ('normal', math.sqrt(2 / 80)),
  }
  for path, (kind, std) in want.items():
    x = np.ravel(flat[f'{path}/kernel']).astype(np.float64)
    # Four standard errors; the fourth moment tells one shape from the other.
    error = 4 / math.sqrt(x.size)
    assert abs(x.mean()) < error * std, path
    assert x.std() == pytest.approx(std, rel=error), path
    kurtosis = 1.8 if kind == 'uniform' else 3.0
    assert np.mean((x / std) ** 4) == pytest.approx(kurtosis, rel=4 * error)
  assert not any(np.any(x) for path, x in flat.items() if path.endswith('bias'))

"""Mask R-CNN's parts against mmdetection's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit.detection import heads, losses, targets
from perceiver_paca.ops import boxes as box_ops
from tests import detection_models, golden_detection, golden_paca
from tests.detection_models import golden_sample, pad
from tests.golden_detection import STRIDES

# Detectors take long to compile.
pytestmark = pytest.mark.full

F64 = np.float64


def map_sizes(height, width):
  """Of the pyramid on a canvas."""
  return [(-(-height // s), -(-width // s)) for s in STRIDES]


def rpn_outputs(key, canvas, dtype):
  """Logits and deltas of two images, a list entry for each map."""
  logits, deltas = [], []
  for i, (h, w) in enumerate(map_sizes(*canvas)):
    x = golden_detection.normal(f'{key}/cls{i}', (2, 3, h, w))
    logits.append((x * np.float32(1.5)).reshape(2, -1).astype(dtype))
    x = golden_detection.normal(f'{key}/reg{i}', (2, 12, h, w))
    deltas.append((x * np.float32(0.3)).reshape(2, -1, 4).astype(dtype))
  return logits, deltas


def float32_anchors(canvas, dtype=np.float32):
  """For each map; in float64 the sides are still those of float32."""
  anchors = []
  for size, stride in zip(map_sizes(*canvas), STRIDES, strict=True):
    shapes = np.asarray(box_ops.anchors((1, 1), stride))[0, 0].astype(dtype)
    rows, columns = np.mgrid[: size[0], : size[1]] * stride
    corners = np.stack([columns, rows, columns, rows], axis=-1)[:, :, None]
    anchors.append((corners + shapes).reshape(-1, 4).astype(dtype))
  return anchors


def reachable(canvas, image_size):
  model = detection_models.small_detector(4, 4, 1, 'float32')
  return np.concatenate(model._reachable(map_sizes(*canvas), image_size))


def only(objects, i):
  return jax.tree.map(lambda x: jnp.asarray(x[i]), objects)


@pytest.mark.parametrize('name', ['rpn_proposals_a', 'rpn_proposals_b'])
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_proposals(name, dtype):
  data = golden_detection.load(name)
  canvas = data['in.padded_size'].tolist()
  with jax.enable_x64(dtype == 'float64'):
    logits, deltas = rpn_outputs(str(data['in.key']), canvas, dtype)
    anchors = float32_anchors(canvas, dtype)
    for kind, (candidates, count) in {
      'train': (2000, 1000),
      'test': (1000, 1000),
      'small': (60, 40),
    }.items():
      propose = functools.partial(
        heads.propose, num_candidates=candidates, num_proposals=count
      )
      found = golden_paca.jit(jax.vmap(propose, in_axes=(0, 0, None, None, 0)))(
        logits, deltas, anchors, None, data['in.image_sizes']
      )
      for i in range(2):
        boxes, scores, valid = (np.asarray(x[i]) for x in found)
        case, digits = f'{kind}.img{i}', dtype[:1] + dtype[-2:]
        assert valid.sum() == data[f'{case}.count']
        exact = digits == 'f64' and f'{case}.boxes.f64' in data
        want = data[f'{case}.boxes.{"f64" if exact else "f32"}']
        np.testing.assert_allclose(
          boxes[: len(want)], want, rtol=0, atol=1e-9 if exact else 1e-4
        )
        want = data[f'{case}.scores.{"f64" if exact else "f32"}']
        np.testing.assert_allclose(
          scores[: len(want)], want, rtol=0, atol=1e-9 if exact else 1e-6
        )
        np.testing.assert_allclose(
          boxes[valid].astype(F64).sum(0),
          data[f'{case}.boxes_sum.f64'],
          rtol=1e-7,
        )


@pytest.mark.parametrize('name', ['assigner_a', 'assigner_b'])
@pytest.mark.parametrize('case', ['random', 'ties', 'no_gt', 'low_quality'])
def test_matches(name, case):
  data = golden_detection.load(name)
  boxes, objects = data[f'in.{case}.boxes'], data[f'in.{case}.gt']
  for kind, limits in {
    'rpn': {'negative': 0.3, 'positive': 0.7, 'best': 0.3},
    'rcnn': {'negative': 0.5, 'positive': 0.5, 'best': 0.5},
  }.items():
    found = golden_paca.jit(functools.partial(targets.match, **limits))(
      pad(boxes, 130, 7.0),
      np.arange(130) < len(boxes),
      pad(objects, 25, 3.0),
      np.arange(25) < len(objects),
    )
    np.testing.assert_array_equal(
      found[: len(boxes)], data[f'{case}.{kind}.gt_index']
    )
    assert np.all(found[len(boxes) :] == -2)


def naive_match(boxes, objects, negative, positive, best):
  """Step by step as published, in float32."""
  overlaps = np.array(
    [[box_ops.iou(b, o, 1e-6) for b in boxes] for o in objects]
  )
  matched = np.full(len(boxes), -2)
  matched[overlaps.max(0) < negative] = -1
  enough = overlaps.max(0) >= positive
  matched[enough] = overlaps.argmax(0)[enough]
  for i, row in enumerate(overlaps):
    if row.max() >= best:
      matched[row == row.max()] = i
  return matched


def test_matches_of_other_boxes():
  rng = np.random.default_rng(0)
  boxes = np.sort(rng.integers(0, 12, (60, 2, 2)), axis=1)
  boxes = boxes.reshape(60, 4).astype(np.float32)
  objects = boxes[rng.permutation(60)[:9]] + np.float32(0.5)
  limits = {'negative': 0.2, 'positive': 0.6, 'best': 0.1}
  found = golden_paca.jit(functools.partial(targets.match, **limits))(
    boxes, np.ones(60, bool), objects, np.ones(9, bool)
  )
  want = naive_match(boxes, objects, **limits)
  assert {-1, -2} < set(want.tolist())
  np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize('name, key', [('a', 'rpnl/a'), ('no_gt', 'rpnl/b')])
def test_rpn_targets_and_losses(name, key):
  data = golden_detection.load(f'rpn_loss_{name}')
  canvas = data['in.padded_size'].tolist()
  wanted = []
  with jax.enable_x64(True):
    anchors = np.concatenate(float32_anchors(canvas, F64))
    for i in range(2):
      boxes = data[f'in.gt.{i}']
      objects = targets.Objects(
        jnp.asarray(pad(boxes, 9)), None, None, np.arange(9) < len(boxes)
      )
      valid = reachable(canvas, data['in.image_sizes'][i])
      assert valid.sum() == data[f'assign.{i}.num_valid_anchors']
      matched = golden_paca.jit(
        functools.partial(targets.match, negative=0.3, positive=0.7, best=0.3)
      )(anchors, valid, objects.boxes, objects.valid)
      # Ties included: overlaps are the published ones to the last bit.
      (positives,) = np.nonzero(matched >= 0)
      np.testing.assert_array_equal(positives, data[f'assign.{i}.positive'])
      np.testing.assert_array_equal(
        matched[positives], data[f'assign.{i}.positive_gt']
      )
      assert np.sum(matched == -1) == data[f'assign.{i}.num_negative']
      drawn = golden_sample(
        data[f'sample.{i}.positive'], data[f'sample.{i}.negative'], 256
      )
      deltas = targets._deltas(
        anchors[drawn.index], matched[drawn.index], objects, drawn
      )
      np.testing.assert_allclose(
        deltas[drawn.is_positive],
        data[f'sample.{i}.positive_targets'],
        rtol=0,
        atol=1e-6,
      )
      wanted.append(targets.AnchorTargets(drawn, deltas))
    wanted = jax.tree.map(lambda *x: jnp.stack(x), *wanted)
    outputs = rpn_outputs(key, canvas, F64)

    def total(outputs):
      terms = losses.rpn_terms(
        *(jnp.concatenate(x, axis=1) for x in outputs), wanted
      )
      return {k: x.mean(jnp.ones(2), 2) for k, x in terms.items()}

    found = total(outputs)
    gradients = jax.grad(lambda x: sum(total(x).values()))(outputs)
  for kind, ours in (('cls', 'rpn_objectness'), ('bbox', 'rpn_boxes')):
    want = data[f'loss_{kind}_per_level.f64'].sum()
    np.testing.assert_allclose(found[ours], want, rtol=0, atol=1e-8)
  for kind, gradient in zip(('cls', 'reg'), gradients, strict=True):
    np.testing.assert_allclose(
      [np.linalg.norm(x) for x in gradient],
      data[f'grad_{kind}_norm_per_level.f64'],
      rtol=0,
      atol=1e-9,
    )


@pytest.mark.parametrize(
  'name, key', [('6', 'det/a'), ('80', 'det/b'), ('upscaled', 'det/c')]
)
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_detections(name, key, dtype):
  data = golden_detection.load(f'detections_{name}')
  rois, num_classes = data['in.rois'], int(data['in.num_classes'])
  shape = len(rois), num_classes
  logits = golden_paca.normal(f'{key}/cs', (shape[0], num_classes + 1))
  logits *= np.float32(1.5)
  logits[:, -1] += 1
  deltas = golden_paca.normal(f'{key}/bp', (shape[0], 4 * num_classes))
  deltas = (deltas * np.float32(0.8)).reshape(*shape, 4)
  # A proposal that is none is not looked at.
  inputs = [
    pad(x.astype(dtype), len(rois) + 1, 9) for x in (rois, logits, deltas)
  ]
  valid = np.arange(len(rois) + 1) < len(rois)
  with jax.enable_x64(dtype == 'float64'):
    detect = functools.partial(heads.detect, min_score=0.05, max_detections=100)
    boxes, scores, classes, valid = map(
      np.asarray,
      golden_paca.jit(detect)(
        inputs[0], valid, inputs[1], inputs[2], data['in.image_size']
      ),
    )
  np.testing.assert_array_equal(classes[valid], data['labels'])
  digits, atol = ('f64', 1e-9) if dtype == 'float64' else ('f32', 1e-4)
  np.testing.assert_allclose(
    boxes[valid], data[f'boxes_input_scale.{digits}'], rtol=0, atol=atol
  )
  np.testing.assert_allclose(
    scores[valid], data[f'scores.{digits}'], rtol=0, atol=min(atol, 1e-6)
  )


def test_pyramid_of_odd_sizes():
  data = golden_detection.load('fpn_odd')
  *channels, out_channels = data['in.channels'].tolist()
  maps = [
    golden_detection.normal(f'fpn/a/map{i}', (1, c, *size)).astype(F64)
    for i, (c, size) in enumerate(
      zip(channels, data['in.sizes'].tolist(), strict=True)
    )
  ]
  with jax.enable_x64(True):
    model = detection_models.small_detector(out_channels, 4, 1, 'float64')
    variables = detection_models.golden_variables(
      model, (maps, np.int32([[100, 152]])), F64
    )
    found = golden_paca.jit(
      lambda v: model.apply(v, maps, method=lambda m, x: m.pyramid(x))
    )(variables)
  for i, x in enumerate(found):
    np.testing.assert_allclose(
      np.moveaxis(x, -1, 1), data[f'out{i}.f64'], rtol=0, atol=1e-9
    )

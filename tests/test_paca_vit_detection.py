"""Mask R-CNN's parts and the whole against mmdetection's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit.detection import heads, losses, mask_rcnn, names, targets
from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import masks as mask_ops
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


@pytest.mark.parametrize('name', ['a', 'few', 'no_gt'])
def test_roi_targets(name):
  data = golden_detection.load(f'roi_sample_{name}')
  proposals, boxes = data['in.proposals'], data['in.gt']
  matched = golden_paca.jit(
    functools.partial(targets.match, negative=0.5, positive=0.5, best=0.5)
  )(
    proposals,
    np.ones(len(proposals), bool),
    pad(boxes, 12),
    pad(boxes, 12)[:, 3] > 0,
  )
  np.testing.assert_array_equal(matched, data['assign.gt_index'])
  positives, negatives = data['sample.positive'], data['sample.negative']
  drawn = golden_sample(positives, negatives, 512)
  with jax.enable_x64(True):
    objects = targets.Objects(
      jnp.asarray(pad(boxes, 12), F64),
      jnp.asarray(pad(data['in.labels'], 12).astype(np.int32)),
      jnp.zeros((12, 64, 8), jnp.uint8),
      np.arange(12) < len(boxes),
    )
    # The objects' own boxes come before the proposals.
    candidates = np.concatenate([boxes, proposals]).astype(F64)
    found = targets.describe(
      candidates[drawn.index],
      pad(data['sample.positive_gt_index'], 512),
      drawn,
      objects,
      num_classes=80,
      num_positives=128,
    )
  count = len(positives) + len(negatives)
  np.testing.assert_array_equal(
    found.boxes[: len(positives)], data['sample.positive_boxes']
  )
  np.testing.assert_array_equal(found.classes[:count], data['target.labels'])
  np.testing.assert_array_equal(
    found.valid[:count], data['target.label_weights'] > 0
  )
  assert not np.any(found.valid[count:])
  assert np.all(found.classes[count:] == 80)
  np.testing.assert_allclose(
    found.deltas[:count], data['target.boxes.f64'], rtol=0, atol=1e-9
  )


@pytest.mark.parametrize('num_classes, key', [(5, 'hl/b'), (80, 'hl/a')])
def test_head_losses(num_classes, key):
  data = golden_detection.load(f'head_losses_{num_classes}')
  count, num_masks = len(data['in.labels']), len(data['in.mask_labels'])

  def normal(kind, *shape):
    return golden_paca.normal(f'{key}/{kind}', shape).astype(F64)[None]

  logits = normal('cs', count, num_classes + 1) * 2
  deltas = normal('bp', count, 4 * num_classes)
  deltas = deltas.reshape(1, count, num_classes, 4)
  masks = np.moveaxis(normal('mp', num_masks, num_classes, 28, 28), 2, -1)

  def mean(terms):
    return {k: x.mean(jnp.ones(1), 1) for k, x in terms.items()}

  with jax.enable_x64(True):
    for case, labels in {
      'mixed': data['in.labels'],
      'all_background': np.full(count, num_classes),
    }.items():
      wanted = targets.RoiTargets(
        None,
        np.ones((1, count), bool),
        labels[None],
        data['in.box_targets'].astype(F64)[None],
        None,
      )
      found = mean(losses.box_terms(logits, deltas, wanted))
      for ours, theirs, scale in (
        ('classes', 'loss_cls', 1),
        ('boxes', 'loss_bbox', 1),
        ('accuracy', 'accuracy_percent', 100),
      ):
        np.testing.assert_allclose(
          found[ours] * scale, data[f'{case}.{theirs}.f64'].item(), atol=1e-9
        )
      of_logits, of_deltas = jax.grad(
        lambda x, wanted=wanted: sum(
          mean(losses.box_terms(*x, wanted)).values()
        )
      )((logits, deltas))
      np.testing.assert_allclose(
        of_logits[0, :8], data[f'{case}.grad_cls.f64'], atol=1e-9
      )
      np.testing.assert_allclose(
        np.linalg.norm(of_deltas),
        data[f'{case}.grad_bbox_norm.f64'],
        atol=1e-9,
      )
    shape = num_masks, 28, 28
    wanted = targets.RoiTargets(
      None,
      None,
      data['in.mask_labels'][None],
      None,
      golden_detection.unpack(data['in.mask_targets_packed'], shape)[None],
    )
    loss, gradient = jax.value_and_grad(
      lambda x: mean(losses.mask_terms(x, wanted))['masks']
    )(masks)
  np.testing.assert_allclose(loss, data['loss_mask.f64'].item(), atol=1e-9)
  np.testing.assert_allclose(
    np.linalg.norm(gradient), data['grad_mask_norm.f64'], atol=1e-9
  )
  np.testing.assert_allclose(
    gradient[0, 0, ..., data['in.mask_labels'][0]],
    data['grad_mask_own_class_0.f64'],
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


class EndToEnd:
  """A golden's detector, its inputs and the sample that it was trained on."""

  def __init__(self, name, dtype):
    self.data = data = golden_detection.load(name)
    *channels, self.channels, box_channels, num_classes = data[
      'in.config'
    ].tolist()
    self.num_classes, self.dtype = num_classes, dtype
    maps = golden_detection.maps(
      str(data['in.key']), channels, data['in.padded_size']
    )
    self.maps = [x.astype(dtype) for x in maps]
    self.sizes = data['in.image_sizes'].astype(np.int32)
    self.model = detection_models.small_detector(
      self.channels, box_channels, num_classes, dtype
    )
    self.variables = detection_models.golden_variables(
      self.model, (self.maps, self.sizes), dtype
    )
    self.objects = detection_models.golden_objects(data, 8)

  def targets(self):
    """Of both images, the published sample and masks."""
    data, found = self.data, []
    sizes = map_sizes(*data['in.padded_size'].tolist())
    anchors = np.concatenate(self.model._anchors(sizes, self.dtype))
    masks = golden_detection.unpack(
      data['mask_targets_packed'], data['mask_targets_shape']
    )

    @golden_paca.jit
    def describe(objects, drawn_anchors, drawn, boxes, index):
      matched = targets.match(
        anchors,
        jnp.ones(len(anchors), bool),
        objects.boxes,
        objects.valid,
        negative=0.3,
        positive=0.7,
        best=0.3,
      )
      deltas = targets._deltas(
        jnp.asarray(anchors)[drawn_anchors.index],
        matched[drawn_anchors.index],
        objects,
        drawn_anchors,
      )
      return mask_rcnn.Targets(
        targets.AnchorTargets(drawn_anchors, deltas),
        targets.describe(boxes, index, drawn, objects, self.num_classes, 128),
      )

    for i in range(2):
      rpn, roi = (
        golden_sample(
          *(data[f'{part}_sample.{i}.{k}'] for k in ('positive', 'negative')),
          num_slots,
        )
        for part, num_slots in (('rpn', 256), ('roi', 512))
      )
      boxes = np.concatenate(
        [data[f'roi_sample.{i}.{k}_boxes'] for k in ('positive', 'negative')]
      )
      wanted = describe(
        only(self.objects, i),
        rpn,
        roi,
        pad(boxes, 512).astype(self.dtype),
        pad(data[f'roi_sample.{i}.positive_gt_index'], 512),
      )
      own, masks = np.split(masks, [int(roi.is_positive.sum())])
      own = pad(own.astype(bool), 128)
      # Values of 0.5 are decided by the order of a sum.
      assert np.sum(np.asarray(wanted.rois.masks) != own) <= 5
      found.append(wanted._replace(rois=wanted.rois._replace(masks=own)))
    return jax.tree.map(lambda *x: np.stack(x), *found)

  def losses(self, variables, wanted):
    def run(model, maps):
      regions = model.regions(maps, self.sizes, train=True)
      terms = model.losses(regions, wanted)
      return {k: x.mean(jnp.ones(2), 2) for k, x in terms.items()}

    parts = self.model.apply(variables, self.maps, method=run)
    return sum(x for k, x in parts.items() if k != 'accuracy'), parts


ENDS = [
  'end_to_end_a',
  pytest.param('end_to_end_no_gt', marks=pytest.mark.slow),
]


@pytest.mark.parametrize('name', ENDS)
def test_losses_and_gradients_end_to_end(name):
  with jax.enable_x64(True):
    case = EndToEnd(name, 'float64')
    assert (
      sum(x.size for x in jax.tree.leaves(case.variables))
      == (case.data['param_count'])
    )
    (loss, parts), gradients = golden_paca.jit(
      jax.value_and_grad(case.losses, has_aux=True)
    )(case.variables, case.targets())
  for ours, theirs in {
    'rpn_objectness': 'loss_rpn_cls',
    'rpn_boxes': 'loss_rpn_bbox',
    'classes': 'loss_cls',
    'boxes': 'loss_bbox',
    'masks': 'loss_mask',
  }.items():
    want = case.data[f'loss.{theirs}.f64']
    np.testing.assert_allclose(parts[ours], want, rtol=0, atol=1e-9)
  np.testing.assert_allclose(loss, case.data['loss.loss.f64'], atol=1e-9)
  np.testing.assert_allclose(parts['accuracy'] * 100, case.data['loss.acc.f64'])
  gradients = names.to_state_dict(gradients)
  assert set(gradients) == {
    k.removeprefix('grad.') for k in case.data if k.startswith('grad.')
  }
  for theirs, x in gradients.items():
    want = case.data[f'grad.{theirs}']
    np.testing.assert_allclose(
      [np.linalg.norm(x), *np.ravel(x)[: len(want) - 1]],
      want,
      rtol=0,
      atol=1e-9,
      err_msg=theirs,
    )


@pytest.mark.parametrize('name', ENDS)
def test_detections_end_to_end(name):
  with jax.enable_x64(True):
    case = EndToEnd(name, 'float64')
    data = case.data

    def run(model, maps):
      regions = model.regions(maps, case.sizes, train=False)
      proposals = model.propose(regions, train=True)
      return regions, proposals, model.detect(regions, model.propose(regions))

    regions, proposals, found = golden_paca.jit(
      lambda v: case.model.apply(v, case.maps, method=run)
    )(case.variables)
    for level, x in enumerate(regions.maps):
      np.testing.assert_allclose(
        np.moveaxis(x, -1, 1)[:, :2, :3, :3],
        data[f'tap.fpn{level}.f64'],
        atol=1e-9,
      )
    for i in range(2):
      valid = np.asarray(proposals.valid[i])
      assert valid.sum() == data[f'train_proposals.{i}.count']
      want = data[f'train_proposals.{i}.boxes.f64']
      np.testing.assert_allclose(
        proposals.boxes[i][: len(want)], want, rtol=0, atol=1e-9
      )
      valid = np.asarray(found.valid[i])
      scale = np.tile(data['in.scale_factor_wh'][i], 2)
      boxes = np.asarray(found.boxes[i])[valid] / scale
      np.testing.assert_array_equal(
        np.asarray(found.classes[i])[valid], data[f'detect.{i}.labels']
      )
      np.testing.assert_allclose(
        boxes, data[f'detect.{i}.boxes.f64'], rtol=0, atol=1e-9
      )
      np.testing.assert_allclose(
        np.asarray(found.scores[i])[valid],
        data[f'detect.{i}.scores.f64'],
        atol=1e-9,
      )
      pasted = mask_ops.paste(
        found.masks[i][valid], boxes, tuple(data['in.original_sizes'][i])
      )
      want = golden_detection.unpack(
        data[f'detect.{i}.masks_packed'], data[f'detect.{i}.masks_shape']
      )
      assert np.sum((np.asarray(pasted) >= 0.5) != want) <= 5


@pytest.mark.slow
def test_losses_end_to_end_in_float32():
  case = EndToEnd('end_to_end_a', 'float32')
  loss, parts = golden_paca.jit(case.losses)(case.variables, case.targets())
  np.testing.assert_allclose(loss, case.data['loss.loss.f64'], rtol=2e-6)
  np.testing.assert_allclose(
    parts['masks'], case.data['loss.loss_mask.f64'], rtol=2e-6
  )

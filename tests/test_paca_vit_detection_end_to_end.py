"""Mask R-CNN as a whole against mmdetection's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit.detection import mask_rcnn, names, targets
from perceiver_paca.ops import masks as mask_ops
from tests import detection_models, golden_detection, golden_paca
from tests.detection_models import golden_sample, pad
from tests.test_paca_vit_detection import map_sizes, only

# Detectors take long to compile.
pytestmark = pytest.mark.full


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

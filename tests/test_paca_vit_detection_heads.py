"""What the heads of Mask R-CNN learn from, against mmdetection's numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from paca_vit.detection import losses, targets
from tests import golden_detection, golden_paca
from tests.detection_models import golden_sample, pad

# Detectors take long to compile.
pytestmark = pytest.mark.full

F64 = np.float64


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

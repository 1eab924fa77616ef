"""Masks on grids and in images against sums and mmdetection's numbers."""

import functools

import jax
import numpy as np
import pytest

from perceiver_paca.ops import masks
from tests import golden_detection, golden_paca
from tests.test_ops_roi_align import naive


def test_unpack_undoes_packbits():
  x = np.random.default_rng(0).integers(0, 2, (3, 5, 24), np.uint8)
  np.testing.assert_array_equal(masks.unpack(np.packbits(x, axis=-1)), x)


def test_targets_against_the_sums():
  rng = np.random.default_rng(0)
  bitmaps = np.zeros((2, 90, 160), np.uint8)
  bitmaps[0, 20:70, 30:150] = rng.random((50, 120)) < 0.7
  bitmaps[1, :, 100:] = 1
  boxes = np.array(
    [
      (3.5, 2, 60, 40.25),
      (0, 0, 160, 90),
      (90, 40, 158.3, 89.9),
      (99, 3, 101, 80),
      (20, 20, 20, 40),
    ]
  )
  index = np.array([0, 1, 0, 1, 0])
  valid = np.array([True, True, True, True, False])
  with jax.enable_x64(True):
    found = golden_paca.jit(functools.partial(masks.mask_targets, num_cells=9))(
      np.packbits(bitmaps, axis=-1), boxes, index, valid
    )
  for i, box in enumerate(boxes):
    want = naive(bitmaps[index[i], ..., None], box, 1, 9)[..., 0]
    np.testing.assert_allclose(found[i], want * valid[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', ['mask_targets_a', 'mask_targets_b'])
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_targets_are_published(name, dtype):
  data = golden_detection.load(name)
  shape = len(data['areas']), *data['in.size']
  bitmaps = golden_detection.unpack(data['bitmaps_packed'], shape)
  with jax.enable_x64(dtype == 'float64'):
    found = golden_paca.jit(
      functools.partial(masks.mask_targets, width=shape[2])
    )(
      np.packbits(bitmaps, axis=-1),
      data['in.rois'].astype(dtype),
      data['in.gt_index'],
      np.ones(len(data['in.rois']), bool),
    )
  found, want = np.asarray(found), data['soft.f64']
  np.testing.assert_allclose(
    found, want, rtol=0, atol=1e-9 if dtype == 'float64' else 1e-4
  )
  decided = np.abs(want - 0.5) > 1e-5
  np.testing.assert_array_equal(
    (found >= 0.5)[decided], data['binary.f32'][decided]
  )


@pytest.mark.parametrize(
  'name, key', [('detections_6', 'det/a'), ('detections_upscaled', 'det/c')]
)
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_pasted_masks_are_published(name, key, dtype):
  data = golden_detection.load(name)
  labels, num_classes = data['labels'], int(data['in.num_classes'])
  logits = 3 * golden_paca.normal(
    f'{key}/mp', (len(labels), num_classes, 28, 28)
  )
  logits = logits[np.arange(len(labels)), labels, ::4, ::4]
  logits = logits.repeat(4, axis=1).repeat(4, axis=2).astype(dtype)
  size = tuple(data['in.original_size'].tolist())
  with jax.enable_x64(dtype == 'float64'):
    values = masks.paste(
      jax.nn.sigmoid(logits),
      data['boxes_original_scale.f64'].astype(dtype),
      size,
    )
  want = golden_detection.unpack(data['masks_packed'], data['masks_shape'])
  allowed = max(2, int(data['mask_pixels_near_threshold']))
  assert np.sum((np.asarray(values) >= 0.5) != want) <= allowed


@pytest.mark.full
def test_a_mask_of_ones_fills_its_box():
  ones = np.ones((3, 28, 28), np.float32)
  boxes = np.float32([(2, 3, 12, 9), (0, 0, 20, 15), (5, 5, 5, 11)])
  found = masks.paste(ones, boxes, (15, 20)) >= 0.5
  for box, pasted in zip(boxes[:2].astype(int), found, strict=False):
    want = np.zeros((15, 20), bool)
    want[box[1] : box[3], box[0] : box[2]] = True
    np.testing.assert_array_equal(pasted, want)
  # As published: an object without a width is its neighbours' columns.
  np.testing.assert_array_equal(np.flatnonzero(found[2].any(0)), [4, 5])

"""Boxes against formulas in float64 and mmdetection's numbers."""

import jax
import numpy as np
import pytest

from perceiver_paca.ops import boxes
from tests import golden_detection

STDS = {'rpn': (1, 1, 1, 1), 'rcnn': (0.1, 0.1, 0.2, 0.2)}


def random_boxes(n, seed=0, size=50):
  rng = np.random.default_rng(seed)
  corners = rng.uniform(0, size, (n, 2, 2))
  return np.sort(corners, axis=1).reshape(n, 4)


def naive_iou(a, b):
  width = min(a[2], b[2]) - max(a[0], b[0])
  height = min(a[3], b[3]) - max(a[1], b[1])
  shared = max(width, 0) * max(height, 0)
  area_a, area_b = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
  return shared / (area_a + area_b - shared)


def test_iou_against_the_formula():
  a, b = random_boxes(30), random_boxes(20, seed=1)
  want = [[naive_iou(x, y) for y in b] for x in a]
  with jax.enable_x64(True):
    np.testing.assert_allclose(
      boxes.iou(a[:, None], b), want, rtol=0, atol=1e-12
    )


def test_iou_of_empty_boxes():
  point, square = np.float32([3, 3, 3, 3]), np.float32([2, 2, 4, 4])
  assert np.isnan(boxes.iou(point, point))
  assert boxes.iou(point, point, min_union=1e-6) == 0
  assert boxes.iou(point, square) == boxes.iou(square, point) == 0
  assert boxes.iou(square, square) == 1


@pytest.mark.parametrize('name', ['assigner_a', 'assigner_b'])
@pytest.mark.parametrize('case', ['random', 'ties', 'low_quality'])
def test_iou_is_published_to_the_last_bit_when_compiled(name, case):
  # Ties between boxes decide on what is matched.
  data = golden_detection.load(name)
  compiled = jax.jit(lambda a, b: boxes.iou(a[:, None], b, 1e-6))
  found = compiled(data[f'in.{case}.gt'], data[f'in.{case}.boxes'])
  np.testing.assert_array_equal(found, data[f'{case}.iou.f32'])


def test_iou_of_many_is_that_of_single_operations():
  a, b = random_boxes(300, size=900), random_boxes(300, seed=1, size=900)
  a, b = a.astype(np.float32)[:, None], b.astype(np.float32)
  low, high = np.maximum(a[..., :2], b[:, :2]), np.minimum(a[..., 2:], b[:, 2:])
  shared = np.prod(np.maximum(high - low, 0), axis=-1)
  areas = [np.prod(x[..., 2:] - x[..., :2], axis=-1) for x in (a, b)]
  found = jax.jit(boxes.iou)(a, b)
  np.testing.assert_array_equal(found, shared / (areas[0] + areas[1] - shared))


@pytest.mark.parametrize('coder', ['rpn', 'rcnn'])
@pytest.mark.parametrize('dtype, floors', [('float64', 0), ('float32', 4)])
def test_coder_is_published(coder, dtype, floors):
  data, stds = golden_detection.load('coder'), STDS[coder]
  from_, to, deltas, per_class = (
    data[f'in.{name}'].astype(dtype)
    for name in ('boxes', 'gt', 'deltas', 'deltas_per_class')
  )
  size = data['in.max_shape_hw']

  def check(found, name):
    want = data[f'{coder}.{name}.f64']
    floor = np.abs(data[f'{coder}.{name}.f32'] - want).max() * floors
    np.testing.assert_allclose(found, want, rtol=0, atol=max(floor, 1e-9))

  with jax.enable_x64(dtype == 'float64'):
    decoded = boxes.decode(from_, deltas, stds)
    check(boxes.encode(from_, to, stds), 'encode')
    check(decoded, 'decode_unclipped')
    check(boxes.clip(decoded, size), 'decode_clipped')
    if coder == 'rcnn':
      per_class = per_class.reshape(len(from_), -1, 4)
      decoded = boxes.decode(from_[:, None], per_class, stds)
      check(
        boxes.clip(decoded, size).reshape(len(from_), -1),
        'decode_per_class_clipped',
      )


def test_decode_undoes_encode():
  a, b = random_boxes(40), random_boxes(40, seed=1)
  a[:, 2:] += 5  # no side grows beyond the limit
  b[:, 2:] += 5
  stds = STDS['rcnn']
  with jax.enable_x64(True):
    again = boxes.decode(a, boxes.encode(a, b, stds), stds)
    np.testing.assert_allclose(again, b, rtol=0, atol=1e-10)


def test_decode_limits_the_size():
  box = np.float32([0, 0, 16, 16])
  wide = boxes.decode(box, np.float32([0, 0, 50, -50]))
  assert wide[2] - wide[0] == pytest.approx(1000, rel=1e-5)
  assert wide[3] - wide[1] == pytest.approx(16 * 16 / 1000, rel=1e-4)


def test_anchors_are_published_to_the_last_bit():
  data = golden_detection.load('anchors_128x160')
  for level, size in enumerate(data['in.level_sizes'].tolist()):
    found = jax.jit(boxes.anchors, static_argnums=(0, 1))(
      tuple(size), golden_detection.STRIDES[level]
    )
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, 0], data[f'base_anchors.{level}'])
    np.testing.assert_array_equal(
      found.reshape(-1, 4), data[f'anchors.{level}']
    )


def test_clip_and_empty():
  found = boxes.clip(
    np.float32([[-3, -2, 50, 60], [40, 1, 45, 3]]), np.int32([20, 30])
  )
  np.testing.assert_array_equal(found, [[0, 0, 30, 20], [30, 1, 30, 3]])
  np.testing.assert_array_equal(boxes.is_empty(found), [False, True])

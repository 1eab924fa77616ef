"""RoIAlign against sums over samples, and mmcv's numbers."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perceiver_paca.ops import roi_align
from tests import golden_detection

STRIDES = (4, 8, 16, 32)
align = roi_align.roi_align


def sample(x, y, column):
  """Bilinear value of x [h, w, C]; 0 beyond one position outside."""
  h, w, _ = x.shape
  if not (-1 <= y <= h and -1 <= column <= w):
    return 0
  y, column = np.clip(y, 0, h - 1), np.clip(column, 0, w - 1)
  top, left = int(y), int(column)
  below, right = min(top + 1, h - 1), min(left + 1, w - 1)
  y, column = y - top, column - left
  above = (1 - column) * x[top, left] + column * x[top, right]
  return (1 - y) * above + y * (
    (1 - column) * x[below, left] + column * x[below, right]
  )


def naive(x, box, scale, num_cells):
  """[P, P, C] by the sums that define it."""
  x1, y1, x2, y2 = np.asarray(box) * scale - 0.5
  out = np.zeros((num_cells, num_cells, x.shape[-1]))
  height, width = (y2 - y1) / num_cells, (x2 - x1) / num_cells
  rows, columns = math.ceil(height), math.ceil(width)
  for i in range(num_cells):
    for j in range(num_cells):
      for s in range(rows):
        for t in range(columns):
          y = y1 + (i + (s + 0.5) / rows) * height
          column = x1 + (j + (t + 0.5) / columns) * width
          out[i, j] += sample(x, y, column) / (rows * columns)
  return out


BOXES = [
  (3, 2, 60, 40),
  (0, 0, 93, 61),  # all of the image
  (0, 30, 93, 33),  # thin: many samples in a row, one in a column
  (40, 0, 41.5, 61),
  (10, 10, 10, 30),  # empty
  (-30, -20, 20, 20),  # beyond the image
  (80, 50, 140, 90),
  (88, 58, 93, 61),
]


@pytest.mark.parametrize('num_cells', [3, 7])
def test_value_against_the_sums(num_cells):
  rng = np.random.default_rng(0)
  maps = rng.standard_normal((2, 41, 47, 3))
  for stride in (2, 1):  # boxes of one, and of several windows
    with jax.enable_x64(True):
      out = align(
        [maps], np.array([BOXES, BOXES[::-1]], float), num_cells, (stride,)
      )
    for image, order in enumerate([BOXES, BOXES[::-1]]):
      for box, found in zip(order, out[image], strict=True):
        np.testing.assert_allclose(
          found,
          naive(maps[image], box, 1 / stride, num_cells),
          rtol=0,
          atol=1e-12,
          err_msg=f'{box}',
        )


def test_gradient_is_the_transpose():
  # The map is linear: <out(a), b> = <a, gradient(b)>, for every a and b.
  rng = np.random.default_rng(1)
  maps = [rng.standard_normal((2, 40 // s, 60 // s, 2)) for s in (1, 2)]
  boxes = rng.uniform(-5, 150, (2, 30, 2, 2))
  boxes = np.sort(boxes, axis=2).reshape(2, 30, 4)
  valid = rng.random((2, 30)) < 0.8
  with jax.enable_x64(True):
    read = functools.partial(align, boxes=boxes, num_cells=5, strides=(4, 8))
    out, vjp = jax.vjp(functools.partial(read, valid=valid), maps)
    assert not np.any(out[~valid])
    b = rng.standard_normal(out.shape)
    (gradients,) = vjp(b)
    for level in range(2):
      a = [np.zeros_like(x) for x in maps]
      a[level] = rng.standard_normal(maps[level].shape)
      np.testing.assert_allclose(
        np.sum(read(a, valid=valid) * b),
        np.sum(a[level] * gradients[level]),
        rtol=1e-10,
      )


def test_no_gradient_flows_into_boxes():
  x = np.random.default_rng(0).standard_normal((1, 20, 20, 1))
  x = x.astype(np.float32)
  boxes = np.float32([[[3, 4, 30, 50]]])
  gradient = jax.grad(lambda boxes: align([x], boxes, 3, (4,)).sum())(boxes)
  assert not gradient.any()


def test_maps_end_where_the_image_does():
  # A part of a larger map is read as the smaller map is.
  rng = np.random.default_rng(2)
  small = [rng.standard_normal((1, n, n + 2, 2)) for n in (16, 8)]
  large = [
    np.concatenate([np.pad(x, ((0, 0), (0, 5), (0, 3), (0, 0)))] * 2)
    for x in small
  ]
  for x, y in zip(small, large, strict=True):
    y[y == 0] = 1e6
    y[:, : x.shape[1], : x.shape[2]] = x
  boxes = np.array([[(3, 2, 70, 60), (50, 40, 72, 64), (1, 2, 71.5, 64)]])
  with jax.enable_x64(True):
    want = align(small, boxes, 7, (4, 8))
    found = align(
      large,
      np.concatenate([boxes] * 2),
      7,
      (4, 8),
      image_sizes=np.array([[64, 72], [64, 72]]),
    )
  np.testing.assert_allclose(found, np.concatenate([want] * 2), atol=1e-12)


def test_level_follows_the_size():
  side = np.float32([10, 111.9, 112, 223.9, 224, 447.9, 448, 2000])
  boxes = np.stack([0 * side, 0 * side, side / 2, side * 2], axis=1)
  np.testing.assert_array_equal(
    roi_align.pyramid_level(boxes, 4), [0, 0, 1, 1, 2, 2, 3, 3]
  )


@pytest.mark.parametrize(
  'name', ['a', pytest.param('b', marks=pytest.mark.full)]
)
@pytest.mark.parametrize('dtype', ['float64', 'float32'])
def test_published(name, dtype):
  data = golden_detection.load(f'roi_align_{name}')
  channels = [data['out7.f64'].shape[1]] * 4
  maps = golden_detection.maps(f'roi/{name}', channels, data['in.image_size'])
  maps = [x.astype(dtype) for x in maps]
  rois = data['in.rois'].astype(dtype)
  # Every box is read from both images, and one of the two is wanted.
  boxes = np.stack([rois[:, 1:]] * 2)
  valid = np.stack([rois[:, 0] == i for i in range(2)])
  same = data['grid_same_in_f64']
  with jax.enable_x64(dtype == 'float64'):
    np.testing.assert_array_equal(
      roi_align.pyramid_level(boxes[0], 4), data['levels']
    )
    for num_cells in (7, 14):
      found = align(maps, boxes, num_cells, STRIDES, valid=valid).sum(0)
      found = np.moveaxis(found, -1, 1)
      np.testing.assert_allclose(
        found[same],
        data[f'out{num_cells}.f64'][same],
        rtol=0,
        atol=1e-9 if dtype == 'float64' else 1e-4,
      )
    if dtype == 'float64':
      weights = golden_detection.normal(
        f'roi/{name}/ct', data['out7.f64'].shape
      )
      gradients = jax.grad(
        lambda maps: jnp.sum(
          weights * align(maps, boxes, 7, STRIDES, valid=valid).sum(0)
        )
      )(maps)
      for level, x in enumerate(gradients):
        x = np.moveaxis(x, -1, 1).ravel()
        np.testing.assert_allclose(
          [np.linalg.norm(x), *x[:: max(1, x.size // 64)][:64]],
          data[f'grad.level{level}.norm_and_samples.f64'],
          rtol=0,
          atol=1e-9,
        )


@pytest.mark.full
def test_memory_does_not_grow_with_boxes_times_map():
  def temporary_bytes(num_boxes, side):
    x = jax.ShapeDtypeStruct((1, side, side, 32), np.float32)
    boxes = jax.ShapeDtypeStruct((1, num_boxes, 4), np.float32)

    def loss(x, boxes):
      return jnp.sum(roi_align.roi_align([x], boxes, 7, (4,)) ** 2)

    compiled = jax.jit(jax.grad(loss)).lower(x, boxes).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  few, many = temporary_bytes(50, 128), temporary_bytes(400, 128)
  wide = temporary_bytes(400, 256)
  boxes, positions = 350 * 49 * 32 * 4, (256**2 - 128**2) * 32 * 4
  assert many - few < 5 * boxes
  assert wide - many < 2 * positions

"""Suppression against the greedy loop and mmcv's choices."""

import functools

import jax
import numpy as np
import pytest

from perceiver_paca.ops import nms
from tests import golden_detection, golden_paca
from tests.test_ops_boxes import naive_iou


def greedy(boxes, scores, threshold, groups):
  """The loop itself."""
  left = np.argsort(-scores, kind='stable').tolist()
  kept = []
  while left:
    best = left.pop(0)
    kept.append(best)
    left = [
      i
      for i in left
      if groups[i] != groups[best]
      or not naive_iou(boxes[best], boxes[i]) > threshold
    ]
  return kept


def jit_nms(threshold, max_kept, slice_size=512):
  return golden_paca.jit(
    functools.partial(
      nms.nms,
      threshold=threshold,
      max_kept=max_kept,
      slice_size=slice_size,
    )
  )


def crowded(n, seed):
  """Boxes around few places, some scores equal, so that chains are long."""
  rng = np.random.default_rng(seed)
  middle = rng.uniform(0, 60, (n, 2))
  size = rng.uniform(15, 25, (n, 2))
  boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
  return boxes, rng.integers(0, 40, n) / 40, rng.integers(0, 3, n)


@pytest.mark.parametrize('slice_size', [1, 7, 64, 1000])
@pytest.mark.parametrize('threshold', [0.2, 0.5])
def test_keeps_what_the_loop_keeps(slice_size, threshold):
  for seed in range(3):
    boxes, scores, groups = crowded(90, seed)
    want = greedy(boxes, scores, threshold, groups)
    with jax.enable_x64(True):
      kept, is_kept = jit_nms(threshold, 80, slice_size)(
        boxes, scores, groups=groups
      )
    assert is_kept.sum() == len(want) < 80
    np.testing.assert_array_equal(kept[is_kept], want)


@pytest.mark.parametrize('slice_size', [3, 64])
def test_stops_at_the_last_slot_and_leaves_out_what_is_not_valid(slice_size):
  boxes, scores, groups = crowded(90, seed=5)
  valid = np.arange(90) % 4 > 0
  some = np.flatnonzero(valid)
  want = greedy(boxes[some], scores[some], 0.3, groups[some])
  kept, is_kept = jit_nms(0.3, 9, slice_size)(
    boxes, scores, groups=groups, valid=valid
  )
  assert is_kept.all()
  np.testing.assert_array_equal(kept, some[want[:9]])


def test_nothing_is_kept_of_nothing():
  boxes, scores, _ = crowded(5, seed=0)
  kept, is_kept = jit_nms(0.5, 4)(boxes, scores, valid=np.zeros(5, bool))
  assert not is_kept.any() and not kept.any()


@pytest.mark.parametrize('name', ['nms_a', 'nms_b'])
@pytest.mark.parametrize('threshold', [0.5, 0.7])
@pytest.mark.parametrize('batched', [False, True])
def test_published(name, threshold, batched):
  data = golden_detection.load(name)
  kept, is_kept = jit_nms(threshold, 200, 64)(
    data['in.boxes'],
    data['in.scores'],
    groups=data['in.groups'] if batched else None,
  )
  kind = 'batched' if batched else 'nms'
  np.testing.assert_array_equal(kept[is_kept], data[f'{kind}_{threshold}.keep'])


def test_examples_of_a_batch_do_not_mix():
  boxes, scores, groups = map(
    np.stack, zip(*[crowded(60, seed) for seed in range(3)], strict=True)
  )
  run = jit_nms(0.3, 40, 16)
  together = jax.vmap(lambda b, s, g: run(b, s, groups=g))(
    boxes, scores, groups
  )
  for i in range(3):
    alone = run(boxes[i], scores[i], groups=groups[i])
    jax.tree.map(
      lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), together, alone
    )

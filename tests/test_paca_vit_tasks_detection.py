"""The detection task: what it draws, sums, leaves out and returns."""

import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs.paca_vit import models
from paca_vit.detection import losses, targets
from paca_vit.tasks import detection
from perceiver_paca.ops import masks as mask_ops
from tests import detection_models, golden_paca
from tests.compiled_task import variables_of
from train_lib import sharding
from train_lib import task as task_lib

# Detectors take long to compile.
pytestmark = pytest.mark.full


def config():
  config = ml_collections.ConfigDict()
  config.task = dict(module='paca_vit.tasks.detection', group_size=2)
  config.model = models.mask_rcnn('tiny_p2cconv_100_0', 3)
  config.model.update(
    dict(
      channels=(8, 12, 16, 20),
      depths=(1, 1, 1, 1),
      num_heads=(2, 2, 2, 2),
      num_clusters=(5, 5, 5, 0),
      drop_path_rate=0.0,
      pyramid_channels=8,
      box_channels=16,
    )
  )
  config.model.detector = dict(
    anchor_scale=4.0, candidates=(60, 40), num_proposals=50, max_detections=10
  )
  return config


def batch(size=4, canvas=(64, 96)):
  """Squares on noise; the last image has none, and one slot is never taken."""
  rng = np.random.default_rng(0)
  height, width = canvas
  data = {
    'image': rng.standard_normal((size, height, width, 3)),
    'image_size': np.tile(np.int32([[height, width - 10]]), (size, 1)),
    'boxes': np.zeros((size, 3, 4)),
    'classes': np.zeros((size, 3), np.int32),
    'masks': np.zeros((size, 3, height, width), np.uint8),
    'box_mask': np.zeros((size, 3), bool),
    'mask': np.ones(size),
  }
  for i in range(size - 1):
    for j in range(2):
      y, x = rng.integers(0, height - 30), rng.integers(0, width - 45)
      side = rng.integers(15, 30)
      data['boxes'][i, j] = x, y, x + side, y + side
      data['classes'][i, j] = rng.integers(0, 3)
      data['masks'][i, j, y : y + side, x : x + side] = 1
      data['image'][i, y : y + side, x : x + side] += 2
      data['box_mask'][i, j] = True
  data['image'][:, :, width - 10 :] = 0
  data['masks'] = np.packbits(data['masks'], axis=-1)
  return {
    k: v.astype(np.float32) if v.dtype == np.float64 else v
    for k, v in data.items()
  }


@pytest.fixture(scope='module')
def task_and_variables():
  task = task_lib.make_task(config())
  return task, variables_of(task, batch())


def test_a_sample_has_each_box_as_often_as_another():
  matched = np.full(60, -2, np.int32)
  matched[10:22] = 3  # more positives than their slots
  matched[30:] = -1
  draws = 1000
  drawn = jax.vmap(
    lambda rng: targets.sample(rng, jnp.asarray(matched), 16, 5)
  )(jax.random.split(jax.random.key(0), draws))
  index = np.asarray(drawn.index)
  assert np.all(drawn.valid)
  np.testing.assert_array_equal(drawn.is_positive[:, :5], True)
  np.testing.assert_array_equal(drawn.is_positive[:, 5:], False)
  assert all(len(set(row)) == 16 for row in index)  # none twice
  for slots, boxes in (
    (slice(0, 5), range(10, 22)),
    (slice(5, 16), range(30, 60)),
  ):
    counts = np.bincount(index[:, slots].ravel(), minlength=60)
    assert counts.sum() == counts[boxes].sum()
    share = (slots.stop - slots.start) / len(boxes)
    error = np.sqrt(draws * share * (1 - share))
    assert np.all(np.abs(counts[boxes] - draws * share) < 4.5 * error)
    # Pairs, too: each draw is without regard to the others.
    pair = [np.isin(index[:, slots], b).any(1) for b in boxes[:2]]
    expected = share * (share * len(boxes) - 1) / (len(boxes) - 1)
    error = np.sqrt(draws * expected * (1 - expected))
    assert abs(np.sum(pair[0] & pair[1]) - draws * expected) < 4.5 * error


def test_a_sample_of_few_boxes_is_smaller():
  matched = jnp.int32([-1, 2, -2, -1, -2, 0, -1])
  drawn = targets.sample(jax.random.key(0), matched, 16, 8)
  assert drawn.valid.tolist() == [True] * 5 + [False] * 11
  assert drawn.is_positive.tolist() == [True] * 2 + [False] * 14
  assert sorted(drawn.index[:2].tolist()) == [1, 5]
  assert sorted(drawn.index[2:5].tolist()) == [0, 3, 6]
  # No objects: negatives only.
  drawn = targets.sample(jax.random.key(0), jnp.full(30, -1), 16, 8)
  assert drawn.valid.all() and not drawn.is_positive.any()


def test_objects_are_proposals_for_the_heads():
  boxes = np.float32([[8, 8, 40, 40], [50, 10, 60, 30], [0, 0, 0, 0]])
  objects = targets.Objects(
    jnp.asarray(boxes),
    jnp.int32([4, 1, 0]),
    jnp.zeros((3, 64, 8), jnp.uint8).at[0].set(255),
    jnp.array([True, True, False]),
  )
  proposals = np.float32([[0, 0, 5, 5], [9, 8, 40, 40], [49, 0, 64, 64]])
  found = targets.roi_targets(
    jax.random.key(0),
    jnp.asarray(proposals),
    jnp.array([True, True, False]),
    objects,
    num_classes=5,
    num_slots=8,
  )
  assert found.valid.tolist() == [True] * 3 + [False] * 5
  taken = {
    tuple(box): (int(c), bool(m.all()))
    for box, c, m in zip(
      found.boxes[:2].tolist(), found.classes, found.masks, strict=False
    )
  }
  # Two slots for positives, of three: the objects and a proposal.
  positives = {(8, 8, 40, 40): (4, True), (9, 8, 40, 40): (4, True)} | {
    (50, 10, 60, 30): (1, False)
  }
  assert len(taken) == 2 and taken.items() <= positives.items()
  assert found.classes[2:].tolist() == [5] * 6
  assert not found.deltas[2:].any()


def test_a_loss_is_a_mean_over_groups():
  rng = np.random.default_rng(0)
  total, count = rng.random(6), rng.integers(0, 9, 6).astype(float)
  count[2:4] = 0  # a group that has nothing to count
  total[2:4] = 0
  terms = losses.Terms(total, count, 0.0)
  want = np.mean(
    [total[i : i + 2].sum() / max(count[i : i + 2].sum(), 1) for i in (0, 2, 4)]
  )
  np.testing.assert_allclose(terms.mean(jnp.ones(6), 2), want, rtol=1e-6)
  # Without the last group, and without an image of the first.
  mask = jnp.float32([1, 0, 1, 1, 0, 0])
  want = np.mean([total[0] / count[0], 0])
  np.testing.assert_allclose(terms.mean(mask, 2), want, rtol=1e-6)


def test_loss_leaves_out_what_does_not_count(task_and_variables):
  task, variables = task_and_variables
  run = golden_paca.jit(
    jax.value_and_grad(
      lambda v, data: task.loss(v, data, jax.random.key(1)), has_aux=True
    )
  )
  data = batch()
  data['mask'][2] = 0
  (loss, aux), gradient = run(variables, data)
  assert aux.weight == 3
  assert set(aux.scalars) == {
    *('rpn_objectness', 'rpn_boxes', 'classes', 'boxes', 'masks'),
    'accuracy',
  }
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
  assert all(
    np.any(x) for x in jax.tree.leaves(gradient['params']['mask_head'])
  )
  np.testing.assert_allclose(
    loss,
    sum(x for k, x in aux.scalars.items() if k != 'accuracy'),
    rtol=1e-6,
  )
  other = {k: v.copy() for k, v in data.items()}
  other['image'][2] = 7  # an image that does not count
  other['boxes'][2] = 3
  other['boxes'][:, 2] = 1  # a slot that is not taken
  other['classes'][:, 2] = 2
  other['boxes'][3, 0] = [5, 5, 5, 20]  # an object without an area
  other['box_mask'][3, 0] = True
  (again, _), same = run(variables, other)
  np.testing.assert_allclose(again, loss, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), same, gradient
  )


def test_groups_must_divide_the_batch(task_and_variables):
  task, variables = task_and_variables
  data = {k: v[:3] for k, v in batch().items()}
  with pytest.raises(ValueError, match=r'config.task.group_size: 2 .* of 3'):
    jax.eval_shape(task.loss, variables, data, jax.random.key(0))


def test_metrics_do_not_see_padding_and_merge(task_and_variables):
  task, variables = task_and_variables
  run = golden_paca.jit(task.metrics)
  whole = run(variables, batch())
  parts = [
    run(variables, batch() | {'mask': np.float32(mask)})
    for mask in ([1, 1, 0, 0], [0, 0, 1, 1])
  ]
  assert 'masks' in whole and 'accuracy' in whole
  for name, metric in whole.items():
    merged = parts[0][name].merge(parts[1][name])
    np.testing.assert_allclose(merged.compute(), metric.compute(), rtol=1e-5)


def test_predict_returns_boxes_inside_of_images(task_and_variables):
  task, variables = task_and_variables
  data = {k: batch()[k] for k in ('image', 'image_size', 'mask')}
  found = golden_paca.jit(task.predict)(variables, data)
  assert set(found) == {'boxes', 'scores', 'classes', 'masks', 'valid'}
  assert found['masks'].shape == (4, 10, 28, 28)
  boxes, valid = (np.asarray(found[k]) for k in ('boxes', 'valid'))
  assert valid.any() and np.all(boxes >= 0)
  assert np.all(boxes[..., 2] <= 86) and np.all(boxes[..., 3] <= 64)
  scores = np.where(valid, found['scores'], 0)
  assert np.all(np.diff(scores, axis=1) <= 0)
  assert np.all(scores[valid] > 0.05)
  pasted = mask_ops.paste(found['masks'][0], boxes[0], (64, 96))
  assert pasted.shape == (10, 64, 96)


def test_cluster_maps_sum_to_1(task_and_variables):
  task, variables = task_and_variables
  maps = golden_paca.jit(task.cluster_maps)(variables, batch())
  assert {k: v.shape for k, v in maps.items()} == {
    'stage_1': (4, 5, 16, 24),
    'stage_2': (4, 5, 8, 12),
    'stage_3': (4, 5, 4, 6),
  }
  for value in maps.values():
    np.testing.assert_allclose(value.sum(axis=(2, 3)), 1, rtol=1e-5)


def on_maps(axes):
  """Loss and gradients of a float64 detector on given maps, on a mesh."""
  model = detection_models.small_detector(
    8, 16, 3, 'float64', candidates=(60, 40), num_proposals=50, num_rois=32
  )
  task = detection.Detection(model, group_size=2)
  data = batch(8)
  rng = np.random.default_rng(3)
  data['image'] = [
    rng.standard_normal((8, 64 // s, 96 // s, 4)) for s in (4, 8, 16, 32)
  ]
  mesh = sharding.make_mesh(axes, jax.devices()[: math.prod(axes.values())])
  batches = sharding.batch_sharding(mesh)
  data = jax.tree.map(
    lambda x: jax.device_put(x, sharding.leaf_sharding(batches, x.shape)), data
  )
  shapes = jax.eval_shape(task.init, jax.random.key(0), data)
  variables = golden_paca.random_variables(
    jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, np.float64), shapes)
  )
  step = jax.value_and_grad(
    lambda v, data: task.loss(v, data, jax.random.key(2))[0]
  )
  return golden_paca.jit(sharding.on_mesh(mesh, step))(
    jax.device_put(variables, sharding.replicated(mesh)), data
  )


@pytest.fixture(scope='module')
def on_one_device():
  with jax.enable_x64(True):
    return on_maps({'data': 1})


@pytest.mark.parametrize(
  'axes',
  [
    {'data': 4},
    pytest.param({'data': 8}, marks=pytest.mark.slow),
    {'data': 2, 'fsdp': 2},
  ],
)
def test_meshes_agree(axes, on_one_device):
  with jax.enable_x64(True):
    loss, gradients = on_maps(axes)
  want_loss, want = on_one_device
  np.testing.assert_allclose(loss, want_loss, rtol=1e-9)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9),
    gradients,
    want,
  )


def test_an_image_over_several_devices_is_refused(task_and_variables):
  task, variables = task_and_variables
  mesh = sharding.make_mesh({'data': 4, 'inputs': 2})

  def loss(variables, batch):
    return task.loss(variables, batch, jax.random.key(2))[0]

  with pytest.raises(ValueError, match='^config.mesh.inputs: found 2'):
    jax.eval_shape(sharding.on_mesh(mesh, loss), variables, batch(8))

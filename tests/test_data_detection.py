"""The pipeline against mmdetection's golden; masks; batches."""

import json
import pathlib
from collections import Counter

import jax
import ml_collections
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from data.detection import coco, detection_ops
from train_lib import pipeline

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'detection'
PLAN = dict(
  flip_rate=0.5,
  long_side=150,
  short_sides=(64, 80, 96),
  crop_short_sides=(70, 90),
  crop_range=(40, 80),
)


@pytest.fixture(scope='module')
def golden():
  with np.load(GOLDEN / 'pipeline.npz') as file:
    return dict(file)


def bits(golden, name):
  shape = golden[f'{name}.masks_shape']
  packed = golden[f'{name}.masks_packed']
  return np.unpackbits(packed, count=shape.prod()).reshape(shape)


@pytest.mark.parametrize('name', ['resize_up', 'resize_down', 'flip', 'crop'])
def test_steps_are_those_of_mmdetection(golden, name):
  view = detection_ops.whole(golden['in.image_bgr'], golden['in.boxes'])
  if name == 'flip':
    view = detection_ops.flip(view)
  elif name == 'crop':
    view = detection_ops.crop(view, *golden['crop.y_x_h_w'])
  else:
    bounds = golden[f'{name}.scale']
    size = detection_ops.fit_size(*view.image.shape[:2], tuple(bounds))
    view = detection_ops.resize(view, *size)
  expected = golden[f'{name}.image_bgr'].astype(int)
  assert view.image.shape == expected.shape
  assert abs(view.image - expected).max() <= 1
  np.testing.assert_allclose(view.boxes, golden[f'{name}.boxes'], rtol=1e-6)
  np.testing.assert_array_equal(view.members, golden[f'{name}.labels'])
  masks = bits(golden, 'in')[view.members][:, view.rows[:, None], view.columns]
  np.testing.assert_array_equal(masks, bits(golden, name))


def test_sizes_are_those_of_mmcv(golden):
  table = golden['rescale.in_hw_scale'], golden['rescale.out_hw']
  for (height, width, *bounds), expected in zip(*table, strict=True):
    found = detection_ops.fit_size(height, width, tuple(bounds))
    assert found == tuple(expected)


def test_normalisation_and_padding_are_those_of_mmdetection(golden):
  image = np.ascontiguousarray(golden['in.image_bgr'][:, :, ::-1])
  view = detection_ops.whole(image, golden['in.boxes'])
  size = tuple(detection_ops.up(n) for n in image.shape[:2])
  assert size == tuple(golden['batch.pad_shapes'][0])
  out = detection_ops.on_canvas(view, size)
  assert tuple(out['image_size']) == image.shape[:2]
  found = out['image'].transpose(2, 0, 1)
  corner = golden['batch.corner.f32'][0]
  np.testing.assert_allclose(found[:, :6, :6], corner, atol=1e-5)
  sums = found.sum((1, 2), dtype=np.float64)
  np.testing.assert_allclose(sums, golden['batch.sum_f64'][0], rtol=1e-4)


def test_polygons_become_the_bitmaps_of_pycocotools():
  with np.load(GOLDEN / 'mask_targets_a.npz') as file:
    size = tuple(file['in.size'])
    polygons = json.loads(file['in.polygons_json'].tobytes())
    packed = file['bitmaps_packed']
  expected = np.unpackbits(packed).reshape(-1, *size)
  for polygon, bitmap in zip(polygons, expected, strict=False):
    found = detection_ops.decode_mask({'segmentation': polygon}, *size)
    np.testing.assert_array_equal(found, bitmap)


def runs(mask):
  flat = mask.T.ravel()
  ends = np.flatnonzero(np.diff(flat, prepend=0))
  return np.diff([0, *ends, flat.size]).tolist()


def test_run_lengths_of_both_kinds():
  from pycocotools import mask as run_lengths

  mask = np.zeros((5, 7), np.int8)
  mask[1:4, 2:6] = 1
  mask[2, 3] = 0
  text = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))['counts']
  for counts in (runs(mask), text.decode()):
    outline = {'size': [5, 7], 'counts': counts}
    found = detection_ops.decode_mask({'segmentation': outline}, 5, 7)
    np.testing.assert_array_equal(found, mask)


def unpacked(example):
  return np.unpackbits(example['masks'], axis=-1)


def test_masks_stay_on_their_objects():
  """Synthetic objects are 100 brighter; their masks must say where."""
  for i, example in enumerate(coco.synthetic('train', 12)):
    crowd = {'iscrowd': 1}
    example['annotations'] = [x | crowd for x in example['annotations'][1:]] + (
      example['annotations'][:1]
    )
    out = coco.preprocess(
      example,
      train=True,
      rng=np.random.default_rng(i),
      num_classes=80,
      plan=PLAN,
      max_boxes=3,
    )
    assert out['image'].shape[:2] in ((96, 160), (160, 96))
    height, width = out['image_size']
    assert not out['image'][height:].any() and not out['image'][:, width:].any()
    masks = unpacked(out)
    assert not masks[:, height:].any() and not masks[:, :, width:].any()
    assert out['box_mask'].sum() <= 1 and not out['box_mask'][1:].any()
    if len(example['annotations']) == 1:
      (mask, box), area = (masks[0], out['boxes'][0]), masks[0].sum()
      x1, y1, x2, y2 = box
      assert abs(area - (x2 - x1) * (y2 - y1)) <= 3 * (x2 - x1 + y2 - y1)
      seen = out['image'][:height, :width], mask[:height, :width] == 1
      assert seen[0][seen[1]].mean() > seen[0][~seen[1]].mean() + 1


def test_draws_are_the_recipes():
  """480 x 640: both branches, all sizes, crops of at most the image."""
  plan = dict(
    flip_rate=0.5,
    long_side=1333,
    short_sides=tuple(range(480, 801, 32)),
    crop_short_sides=(400, 500, 600),
    crop_range=(384, 600),
  )
  rng = np.random.default_rng(0)
  drawn = [detection_ops.draw_plan(rng, 480, 640, **plan) for _ in range(2000)]
  assert abs(np.mean([x.is_flipped for x in drawn]) - 0.5) < 0.05
  cropped = [x for x in drawn if len(x.steps) == 3]
  assert abs(len(cropped) / len(drawn) - 0.5) < 0.05
  simple = Counter(x.height for x in drawn if len(x.steps) == 1)
  assert sorted(simple) == [*range(480, 801, 32)]
  for x in cropped:
    (_, height, width), (_, top, left, crop_height, crop_width) = x.steps[:2]
    assert (height, width) in ((400, 533), (500, 667), (600, 800))
    assert (
      384 <= crop_height <= min(600, height) and top <= height - crop_height
    )
    assert 384 <= crop_width <= min(600, width) and left <= width - crop_width
  # Lying images become upright crops, too: the group is the crop's.
  assert 0.05 < np.mean([x.height > x.width for x in cropped]) < 0.5


def data_config(**changes):
  return ml_collections.ConfigDict(
    dict(
      module='data.detection.coco',
      split='train',
      source='synthetic',
      data_dir=None,
      batch_size=4,
      preprocess=dict(num_classes=80, plan=PLAN, max_boxes=3),
      num_workers=0,
      num_threads=2,
    )
    | changes
  )


def batches_of(num, **changes):
  config = data_config(**changes)
  mesh = jax.make_mesh((1,), ('data',), axis_types=(AxisType.Auto,))
  batches = pipeline.make_train_iterator(
    config, seed=1, sharding=NamedSharding(mesh, PartitionSpec('data'))
  )
  return batches, [jax.tree.map(np.asarray, next(batches)) for _ in range(num)]


def test_batches_are_of_one_orientation_and_resume():
  batches, found = batches_of(12)
  shapes = Counter(x['image'].shape for x in found)
  assert set(shapes) == {(4, 96, 160, 3), (4, 160, 96, 3)}
  again, _ = batches_of(0)
  again.set_state({'next_batch': 7})
  jax.tree.map(np.testing.assert_array_equal, next(again), found[7])
  assert batches.get_state()['next_batch'] == 12


def test_only_training_says_what_it_leaves_out(capsys):
  pipeline.training_example(data_config())  # as predicting does, for shapes
  assert not capsys.readouterr().out
  batches_of(0)
  assert 'images have no annotation' in capsys.readouterr().out

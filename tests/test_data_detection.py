"""The pipeline against mmdetection's golden; masks; JSON good and bad."""

import copy
import json
import pathlib
from collections import Counter

import jax
import ml_collections
import numpy as np
import PIL.Image
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from data.detection import coco, coco_json, detection_ops
from train_lib import pipeline

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'detection'
PLAN = dict(
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


def batches_of(num, **changes):
  config = ml_collections.ConfigDict(
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


def write_set(
  folder, images, annotations, categories=({'id': 3, 'name': 'a'},)
):
  (folder / 'annotations').mkdir()
  (folder / 'mine').mkdir()
  infos = []
  for i, (height, width) in enumerate(images):
    pixels = np.full((height, width, 3), 50 * i % 256, np.uint8)
    PIL.Image.fromarray(pixels).save(folder / 'mine' / f'{i}.png')
    infos.append(
      {'id': i, 'file_name': f'{i}.png', 'height': height, 'width': width}
    )
  contents = {
    'images': infos,
    'annotations': annotations,
    'categories': list(categories),
  }
  write(folder, contents)
  return contents


def write(folder, contents):
  path = folder / 'annotations' / 'instances_mine.json'
  path.write_text(json.dumps(contents))


def square(image_id, x, y, side, **others):
  corners = [x, y, x + side, y, x + side, y + side, x, y + side]
  return {
    'id': 100 * image_id + x,
    'image_id': image_id,
    'category_id': 3,
    'bbox': [x, y, side, side],
    'area': side**2,
    'iscrowd': 0,
    'segmentation': [corners],
  } | others


def prepared(folder, **options):
  options = dict(num_classes=1, plan=PLAN, max_boxes=100) | options
  source = coco.source('mine', str(folder))
  return source, coco.select(source, **options), options


def test_what_no_training_uses_is_said_and_the_rest_trains(tmp_path, capsys):
  write_set(
    tmp_path,
    [(60, 80), (20, 3000), (60, 80), (400, 300)],
    [
      square(0, 5, 5, 20),
      square(0, 70, 50, 20),  # half outside
      square(0, 200, 5, 20),  # outside
      square(0, 6, 5, 20, segmentation=[[1, 1, 5, 5]]),
      square(0, 7, 5, 20, iscrowd=1),
      square(1, 5, 5, 10),
      *(square(3, x, 3 * (x % 90), 10) for x in range(200)),
    ],
  )
  source, chosen, options = prepared(tmp_path)
  said = capsys.readouterr().out
  assert '203 objects; not trained on' in said
  assert '1 without area or outside of the image' in said
  assert '1 without an outline of 3 points' in said and '1 crowds' in said
  assert '1 of 4 images have a side below 32' in said
  assert '1 of 4 images have no annotation' in said
  assert '3.png: 200' in said and '100 are not' in said
  assert [x['info']['id'] for x in chosen] == [0, 3]
  for example, count in zip(chosen, (2, 100), strict=True):
    counts = set()
    for seed in range(6):
      rng = np.random.default_rng(seed)
      out = coco.preprocess(example, train=True, rng=rng, **options)
      counts.add(int(out['box_mask'].sum()))
    assert max(counts) == count
  # All of them are evaluated.
  shapes = [
    coco.preprocess(x, train=False, rng=None, **options)['image'].shape
    for x in source
  ]
  assert shapes == [(96, 128, 3), (32, 160, 3), (96, 128, 3), (128, 96, 3)]


def without(contents, key):
  del contents[key]


def changed(contents, key, field, value):
  contents[key][0][field] = value


@pytest.mark.parametrize(
  'break_it, message',
  [
    (lambda c: without(c, 'categories'), "a list 'categories'"),
    (lambda c: changed(c, 'images', 'file_name', 'no.png'), 'is no.png'),
    (lambda c: changed(c, 'images', 'width', 81), '60 x 80, .* 60 x 81'),
    (lambda c: changed(c, 'annotations', 'bbox', [1, 2, 3]), 'bbox is'),
    (lambda c: changed(c, 'annotations', 'category_id', 9), 'category_id 9'),
    (lambda c: changed(c, 'annotations', 'image_id', 'x'), "image_id 'x'"),
    (
      lambda c: changed(
        c, 'annotations', 'segmentation', {'size': [60, 80], 'counts': [5]}
      ),
      'add up to 5 pixels',
    ),
    (lambda c: changed(c, 'annotations', 'segmentation', 'x'), 'neither run'),
    (lambda c: c['images'].append(c['images'][0]), '0 is there 2 times'),
    (lambda c: changed(c, 'annotations', 'area', 0), 'no object to train'),
    (
      lambda c: c['categories'].append({'id': 1, 'name': 'b'}),
      r'found 1; the JSON has 2 categories \(b, a\)',
    ),
  ],
)
def test_bad_files_are_named(tmp_path, break_it, message):
  contents = write_set(tmp_path, [(60, 80)], [square(0, 5, 5, 20)])
  contents = copy.deepcopy(contents)
  break_it(contents)
  write(tmp_path, contents)
  with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
    prepared(tmp_path)
  assert '\n' not in str(error.value)


def test_other_layouts_and_what_is_missing(tmp_path):
  write_set(tmp_path, [(60, 80)], [square(0, 5, 5, 20)])
  path = tmp_path / 'annotations' / 'instances_mine.json'
  path.rename(tmp_path / 'mine' / '_annotations.coco.json')
  assert len(coco.source('mine', str(tmp_path))) == 1
  with pytest.raises(FileNotFoundError, match='instances_other.json'):
    coco.source('other', str(tmp_path))
  (tmp_path / 'mine' / '0.png').write_bytes(b'no image')
  with pytest.raises(ValueError, match='0.png: no image'):
    coco.source('mine', str(tmp_path))


def test_a_photograph_lies_as_its_viewers_show_it(tmp_path):
  contents = write_set(tmp_path, [(60, 80)], [square(0, 5, 5, 20)])
  pixels = np.arange(60 * 80 * 3).reshape(80, 60, 3).astype(np.uint8)
  image = PIL.Image.fromarray(pixels)
  exif = image.getexif()
  exif[0x0112] = 6  # turned by 90 degrees
  image.save(tmp_path / 'mine' / '0.png', exif=exif)
  write(tmp_path, contents)
  (example,) = coco.source('mine', str(tmp_path))
  turned = np.rot90(pixels, -1)
  np.testing.assert_array_equal(coco_json.open_image(example), turned)

"""COCO's JSON from disk: what is read, said, left out, and what is wrong."""

import copy
import json

import numpy as np
import PIL.Image
import pytest

from data.detection import coco, coco_json

PLAN = dict(
  flip_rate=0.5,
  long_side=150,
  short_sides=(64, 80, 96),
  crop_short_sides=(70, 90),
  crop_range=(40, 80),
)


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
    (lambda c: changed(c, 'annotations', 'area', 'x'), "area is 'x'"),
    (lambda c: changed(c, 'images', 'id', [1]), r'found \[1\]'),
    (
      lambda c: changed(
        c, 'annotations', 'segmentation', {'size': [60, 80], 'counts': [5]}
      ),
      'add up to 5 pixels',
    ),
    (lambda c: changed(c, 'annotations', 'segmentation', 'x'), 'neither run'),
    (lambda c: c['images'].append(c['images'][0]), 'found 0 twice'),
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
  with pytest.raises(ValueError, match='0.png: expected an image'):
    coco.source('mine', str(tmp_path))


def test_one_file_alone_has_both_parts(tmp_path, capsys):
  contents = write_set(
    tmp_path, [(60, 80)] * 20, [square(i, 5, 5, 20) for i in range(20)]
  )
  path = tmp_path / 'annotations' / 'instances_mine.json'
  path.rename(tmp_path / 'result.json')
  (tmp_path / 'mine').rename(tmp_path / 'images')
  names = {
    split: {x['image'].name for x in coco.source(split, str(tmp_path))}
    for split in ('train', 'validation')
  }
  assert names['train'] | names['validation'] == {
    x['file_name'] for x in contents['images']
  }
  assert not names['train'] & names['validation']
  assert 1 <= len(names['validation']) <= 10
  assert coco.source('train', str(tmp_path))[0]['classes'] == ('a',)
  # An image that ends early is left out, and its objects with it.
  lost = sorted(names['train'])[0]
  half = (tmp_path / 'images' / lost).read_bytes()[:-40]
  (tmp_path / 'images' / lost).write_bytes(half)
  left = coco.source('train', str(tmp_path))
  assert {x['image'].name for x in left} == names['train'] - {lost}
  assert all(x['annotations'] for x in left)
  assert f'{lost}: the file is broken' in capsys.readouterr().out


def test_pixels_of_16_bits_are_as_a_viewer_shows_them(tmp_path):
  write_set(tmp_path, [(60, 80)], [square(0, 5, 5, 20)])
  grey = np.full((60, 80), 0x8000, np.uint16)
  PIL.Image.fromarray(grey).save(tmp_path / 'mine' / '0.png')
  (example,) = coco.source('mine', str(tmp_path))
  assert np.unique(coco_json.open_image(example)).tolist() == [128]


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

"""Scenes made of cut-outs, and squares of nuclei: what their masks hold."""

import importlib.util

import numpy as np
import pytest

from data.detection import coco, detection_ops, nuclei, photo_objects

GREY = np.full((photo_objects.HEIGHT, photo_objects.WIDTH, 3), 90, np.uint8)


def patch(rng):
  """A square without an edge in a colour that says its class."""
  label = int(rng.integers(3))
  pixels = np.full((40, 40, 4), 255, np.uint8)
  pixels[..., :3] = 50 * (label + 1)
  return label, pixels


def masks_of(example):
  size = example['info']['height'], example['info']['width']
  return [
    detection_ops.decode_mask(x, *size).astype(bool)
    for x in example['annotations']
  ]


def test_masks_are_what_is_seen_and_boxes_are_tight(monkeypatch):
  monkeypatch.setattr(photo_objects, '_photos', lambda split: [GREY])
  examples = photo_objects.scenes('train', 30, patch, 'abc')
  num_hidden = 0
  for example in examples:
    masks = masks_of(example)
    assert 1 <= len(masks) <= 6
    assert np.sum(masks, axis=0).max() == 1  # no pixel is of two
    np.testing.assert_array_equal(
      np.any(masks, axis=0), (example['image'] != 90).any(-1)
    )
    for mask, x in zip(masks, example['annotations'], strict=True):
      assert (example['image'][mask] == 50 * x['category_id']).all()
      rows, columns = np.nonzero(mask)
      assert x['bbox'] == [
        *(columns.min(), rows.min()),
        *(np.ptp(columns) + 1, np.ptp(rows) + 1),
      ]
      assert 0.4 * 1600 <= mask.sum() == x['area'] <= 1600
      num_hidden += mask.sum() < 1600
  assert num_hidden > 10
  again = photo_objects.scenes('train', 3, patch, 'abc')
  np.testing.assert_array_equal(again[2]['image'], examples[2]['image'])
  other = photo_objects.scenes('test', 3, patch, 'abc')
  assert (other[2]['image'] != examples[2]['image']).any()


def test_splits_share_no_photograph():
  train, test = photo_objects._PHOTOS['train'], photo_objects._PHOTOS['test']
  assert not set(train) & set(test)


def test_a_digit_is_as_high_as_drawn_and_of_one_ink():
  by_class = {c: [np.zeros((28, 28), np.uint8)] for c in range(10)}
  for digits in by_class.values():
    digits[0][4:24, 10:15] = 255
  for seed in range(20):
    rng = np.random.default_rng(seed)
    _, cut_out = photo_objects.inked_digit(by_class, rng)
    assert 24 <= cut_out.shape[0] <= 56
    assert len(np.unique(cut_out[..., :3].reshape(-1, 3), axis=0)) == 1
    assert cut_out[..., :3].max() >= 200 and cut_out[..., :3].min() <= 60
    assert (cut_out[..., 3] > 127).mean() > 0.9


@pytest.mark.skipif(
  importlib.util.find_spec('stardist') is None, reason='needs its wheel'
)
def test_squares_of_nuclei_share_no_pixel_between_splits():
  train, test = nuclei.source('train', None), nuclei.source('test', None)
  assert (len(train), len(test)) == (35, 4)
  for example in [*train, *test]:
    masks = masks_of(example)
    assert masks and np.sum(masks, axis=0).max() == 1
    bright = example['image'][np.any(masks, axis=0)].mean()
    assert bright > 1.5 * example['image'][~np.any(masks, axis=0)].mean()
  columns = [int(x['info']['file_name'].split()[-1]) for x in train]
  assert max(columns) + 128 <= 384
  assert all(x['info']['file_name'].endswith('column 384') for x in test)


def test_fewer_categories_are_those_of_the_annotations():
  for example in coco.one_of(coco.synthetic('train', 8), 2):
    ids = {x['id'] for x in example['categories']}
    assert len(ids) == 2
    assert {x['category_id'] for x in example['annotations']} <= ids

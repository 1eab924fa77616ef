"""Digits on photographs: what is drawn, and that nothing is in both splits."""

import colorsys

import numpy as np
import PIL.Image
import pytest

from data.images import digits_on_photos as data

GREY = PIL.Image.new('RGB', (64, 64), (90, 90, 90))


def test_ink_covers_its_share_in_one_pure_colour():
  digit = np.zeros((28, 28), np.uint8)
  digit[4:24, 4:24] = 255  # MNIST's digits stay within these 20 x 20
  for seed in range(20):
    image = data.draw_digit(GREY, digit, np.random.default_rng(seed))
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=1)
    order = np.argsort(-counts)
    both = [tuple(colours[i]) for i in order[:2]]
    (ink,) = set(both) - {(90, 90, 90)}
    _, saturation, value = colorsys.rgb_to_hsv(*(x / 255 for x in ink))
    assert value == 1 and saturation > 0.69
    # All of the digit is there: 44 / 28 to 60 / 28 times as large each way.
    weight = (
      np.abs(image.astype(float) - 90).sum()
      / np.abs(np.array(ink, float) - 90).sum()
    )
    assert 400 * (43 / 28) ** 2 < weight < 400 * (61 / 28) ** 2


def test_no_ink_changes_nothing():
  image = data.draw_digit(
    GREY, np.zeros((28, 28), np.uint8), np.random.default_rng(0)
  )
  np.testing.assert_array_equal(image, np.asarray(GREY))


def test_index_decides_an_image():
  first, again = (data.synthetic('test', num_examples=4) for _ in range(2))
  for i in range(4):
    np.testing.assert_array_equal(first[i]['image'], again[i]['image'])
    assert first[i]['label'] == i
  assert not np.array_equal(first[0]['image'], first[1]['image'])
  with pytest.raises(IndexError, match='index: found 4; expected 0 to 3'):
    first[4]


def test_digits_of_several_images_differ_in_all_but_the_digit():
  digits = [{'image': np.full((28, 28, 1), 255, np.uint8), 'label': 7}]
  images = data.Composed(digits, [GREY], num_images=3, seed=0)
  assert len(images) == 3 and {x['label'] for x in images} == {7}
  inks = {tuple(x['image'][32, 32]) for x in images}
  assert len(inks) == 3


@pytest.mark.full
def test_real_splits_share_no_digit_and_no_photograph(tmp_path):
  train, test = (data.source(x, str(tmp_path)) for x in ('train', 'test'))
  assert (len(train), len(test)) == (100_000, 1_000)

  def digits(images):
    return {x['image'].tobytes() for x in images.digits}

  def photographs(images):
    return {x.tobytes() for x in images.photographs}

  assert len(digits(train)) == 4_000 and len(digits(test)) == 1_000
  assert not digits(train) & digits(test)
  assert not photographs(train) & photographs(test)
  with pytest.raises(ValueError, match="split: found 'validation'"):
    data.source('validation', str(tmp_path))

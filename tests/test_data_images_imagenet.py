"""ImageNet's preprocessing on invented JPEG files."""

import io

import numpy as np
import PIL.Image
import pytest

from data.images import imagenet, rand_augment

AUGMENT = dict(
  num_layers=2, magnitude=9.0, magnitude_std=0.5, prob=0.5, increasing=True
)


@pytest.fixture(scope='module')
def examples():
  return imagenet.synthetic('train', 9)


def train(example, seed=0, **options):
  return imagenet.preprocess(
    example,
    train=True,
    rng=np.random.default_rng(seed),
    image_size=32,
    crop_fraction=0.9,
    **options,
  )['image']


def test_synthetic_examples_are_jpeg_files(examples):
  opened = [PIL.Image.open(io.BytesIO(e['image'])) for e in examples]
  assert {image.format for image in opened} == {'JPEG'}
  assert [image.mode for image in opened].count('L') == 1
  assert len({image.size for image in opened}) == 9
  again = imagenet.synthetic('train', 9)
  assert [e['image'] for e in again] == [e['image'] for e in examples]
  other = imagenet.synthetic('validation', 9)
  assert not {e['image'] for e in other} & {e['image'] for e in examples}


def test_shapes_and_types(examples):
  for example in examples:
    for is_training in (True, False):
      out = imagenet.preprocess(
        example,
        train=is_training,
        rng=np.random.default_rng(0),
        image_size=224,
        crop_fraction=0.9,
        augment=AUGMENT,
      )
      assert out.keys() == {'image', 'label'}
      assert out['image'].shape == (224, 224, 3)
      assert out['image'].dtype == np.float32
      assert (out['label'], out['label'].dtype) == (example['label'], np.int32)


def test_evaluation_is_resize_248_crop_224_normalise(examples):
  image = PIL.Image.open(io.BytesIO(examples[0]['image']))
  width, height = image.size
  short = min(width, height)
  size = (int(248 * width / short), int(248 * height / short))
  left, top = (round((side - 224) / 2) for side in size)
  pixels = np.asarray(image.resize(size, PIL.Image.BICUBIC), np.float64)
  pixels = pixels[top : top + 224, left : left + 224] / 255
  expected = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  found = imagenet.preprocess(
    examples[0], train=False, rng=None, image_size=224, crop_fraction=0.9
  )
  np.testing.assert_allclose(found['image'], expected, atol=1e-5)


def test_decoded_pixels_are_accepted(examples):
  image = PIL.Image.open(io.BytesIO(examples[0]['image']))
  decoded = {**examples[0], 'image': np.asarray(image)}
  for is_training in (True, False):
    pair = [
      imagenet.preprocess(
        e,
        train=is_training,
        rng=np.random.default_rng(0),
        image_size=200,
        crop_fraction=0.9,
      )['image']
      for e in (examples[0], decoded)
    ]
    np.testing.assert_array_equal(*pair)


def test_the_rng_decides_the_training_image(examples):
  for options in (dict(), dict(augment=AUGMENT), dict(color_jitter=0.4)):
    a, b, c = (train(examples[0], seed, **options) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_training_crops_flips_then_augments(examples, monkeypatch):
  seen = []

  def augment(self, image, rng):
    seen.append((self, np.asarray(image)))
    return PIL.Image.new('RGB', image.size, self.fill)

  monkeypatch.setattr(rand_augment.RandAugment, '__call__', augment)
  image = train(examples[0], augment=AUGMENT)
  # The fill is the mean colour, which normalises to (nearly) zero.
  assert np.abs(image).max() < 0.5 / 255 / 0.224 + 1e-6
  ((made, cropped),) = seen
  assert made == rand_augment.RandAugment(**AUGMENT, fill=(124, 116, 104))
  assert cropped.shape == (32, 32, 3)
  plain = train(examples[0])
  expected = cropped / 255.0 - [0.485, 0.456, 0.406]
  np.testing.assert_allclose(plain, expected / [0.229, 0.224, 0.225], atol=1e-5)


def test_color_jitter_beside_randaugment_is_an_error(examples):
  with pytest.raises(
    ValueError, match='color_jitter: 0.4 would have no effect'
  ):
    train(examples[0], augment=AUGMENT, color_jitter=0.4)


PERCEIVER = dict(
  num_layers=4,
  magnitude=5.0,
  magnitude_std=0.0,
  prob=1.0,
  increasing=False,
  fill=(128, 128, 128),
)


def test_resize_last_augments_at_the_resolution_of_the_crop(
  examples, monkeypatch
):
  seen = []

  def augment(self, image, rng):
    seen.append((self, image.size))
    return PIL.Image.new('RGB', image.size, self.fill)

  monkeypatch.setattr(rand_augment.RandAugment, '__call__', augment)
  for seed in range(8):
    image = train(examples[0], seed, resize_last=True, augment=PERCEIVER)
    assert image.shape == (32, 32, 3)
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / [
      0.229,
      0.224,
      0.225,
    ]
    np.testing.assert_allclose(image - expected, 0, atol=1e-5)
  assert {made for made, _ in seen} == {rand_augment.RandAugment(**PERCEIVER)}
  sizes = {size for _, size in seen}
  assert len(sizes) == 8 and min(min(sizes)) > 32


def test_resize_last_evaluates_the_central_square(examples):
  image = PIL.Image.open(io.BytesIO(examples[0]['image']))
  width, height = image.size
  side = int(min(width, height) * 0.875)
  left, top = (width - side + 1) // 2, (height - side + 1) // 2
  pixels = np.asarray(image)[top : top + side, left : left + side]
  options = dict(train=False, rng=None, resize_last=True, crop_fraction=0.875)
  found = imagenet.preprocess(examples[0], image_size=side, **options)['image']
  expected = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  found = imagenet.preprocess(examples[0], image_size=224, **options)['image']
  assert found.shape == (224, 224, 3)

"""Crops resized on the device beside those of the host."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from data import image_ops
from data.images import device_crop, imagenet
from tests.test_data_images_device_augment import photograph

SIZE = 32
OPTIONS = dict(image_size=SIZE, crop_fraction=0.9)
ON_DEVICE = OPTIONS | dict(crop_on_device=True)
KEYS = jax.random.split(jax.random.key(0), 23)


def jpeg(height, width, seed=0, mode='RGB'):
  file = io.BytesIO()
  photograph(height, width, seed).convert(mode).save(file, 'JPEG', quality=90)
  return {'image': file.getvalue(), 'label': np.int64(seed)}


def prepared(examples, options):
  """Each by draws of its own."""
  return [
    imagenet.preprocess(
      example, train=True, rng=np.random.default_rng(i), **options
    )
    for i, example in enumerate(examples)
  ]


def batch_of(examples):
  return jax.tree.map(lambda *xs: jnp.stack(xs), *examples)


def levels(images):
  """What normalised images were before."""
  mean, std = (np.float32(x) for x in (imagenet._MEAN, imagenet._STD))
  return 255 * (np.asarray(images) * std + mean)


# Larger and smaller than the output, of scaled decoding by 2, 4 and 8, larger
# than the canvas, grey, of another format.
EXAMPLES = [
  *(jpeg(40, 45, seed) for seed in range(4)),
  *(jpeg(20, 17, seed) for seed in range(2)),
  *(jpeg(90, 120, seed) for seed in range(4)),
  *(jpeg(250, 200, seed) for seed in range(6)),
  *(jpeg(700, 600, seed) for seed in range(4)),
  *(jpeg(100, 90, seed, mode='L') for seed in range(2)),
  {'image': np.asarray(photograph(300, 200)), 'label': np.int64(7)},
]


def test_pixels_are_the_hosts():
  """To one grey level, where both round, from the same draws."""
  expected = batch_of(prepared(EXAMPLES, OPTIONS))
  crops = batch_of(prepared(EXAMPLES, ON_DEVICE))
  flipped = np.asarray(crops[device_crop.IS_FLIPPED])
  assert flipped.any() and not flipped.all()
  found = jax.jit(imagenet.on_device(**ON_DEVICE))(crops, KEYS)
  assert found.keys() == expected.keys()
  np.testing.assert_array_equal(found['label'], expected['label'])
  assert found['image'].shape == (len(EXAMPLES), SIZE, SIZE, 3)
  apart = np.abs(levels(found['image']) - levels(expected['image']))
  assert apart.max() < 1.01
  assert np.mean(apart > 0.01) < 0.01


def test_what_lies_beyond_the_crop_weighs_nothing():
  crops = batch_of(prepared(EXAMPLES[:8], ON_DEVICE))
  resize = jax.jit(lambda batch: device_crop.resized(batch, SIZE))
  right, bottom = np.ceil(np.asarray(crops[device_crop.BOX][:, 2:]).T)
  places = np.arange(crops[device_crop.PIXELS].shape[1])
  inside = places[None, :, None] < bottom[:, None, None]
  inside = inside & (places < right[:, None])[:, None]
  noise = np.where(inside[..., None], crops[device_crop.PIXELS], 255)
  np.testing.assert_array_equal(
    resize(crops), resize(crops | {device_crop.PIXELS: noise})
  )


@pytest.mark.parametrize('size', [32, 224])
def test_canvas_holds_every_crop_but_the_largest(size):
  side = device_crop.canvas_side(size, (3 / 4, 4 / 3))
  assert side % 8 == 0 and 8 / 3 * size <= side < 8 / 3 * size + 16
  for full in (2 * size, 4 * size - 1, 8 * size - 1, 15 * size):
    file = io.BytesIO()
    width = min(full * 4 // 3, 15 * size)
    PIL.Image.new('RGB', (width, full)).save(file, 'JPEG')
    crop, _ = image_ops.scaled_crop(
      image_ops.open_image(file.getvalue()),
      np.random.default_rng(0),
      size=size,
      scale=(1.0, 1.0),
      ratio=(3 / 4, 4 / 3),
    )
    assert max(crop.size) <= side, full


@pytest.mark.full
def test_augmentation_follows():
  law = dict(
    num_layers=1, magnitude=9, magnitude_std=0, prob=1, increasing=True
  )
  options = ON_DEVICE | {'augment': law | {'on_device': True}}
  crops = batch_of(prepared(EXAMPLES[:4], options))
  plain = imagenet.on_device(**ON_DEVICE)(crops, KEYS[:4])
  found = imagenet.on_device(**options)(crops, KEYS[:4])
  again = imagenet.on_device(**options)(plain, KEYS[:4])
  assert not np.array_equal(found['image'], plain['image'])
  np.testing.assert_allclose(found['image'], again['image'], atol=1e-5)


@pytest.mark.parametrize(
  'options, message',
  [
    (dict(resize_last=True), 'resize_last: found True beside .*expected False'),
    (dict(color_jitter=0.4), 'color_jitter: found 0.4 .*expected 0.0'),
    (dict(augment={'on_device': False}), 'on_device: found False .*True'),
  ],
)
def test_what_would_follow_on_the_host_is_an_error(options, message):
  with pytest.raises(ValueError, match=message):
    prepared(EXAMPLES[:1], ON_DEVICE | options)


def test_evaluation_stays_on_the_host():
  pair = [
    imagenet.preprocess(EXAMPLES[0], train=False, rng=None, **options)['image']
    for options in (OPTIONS, ON_DEVICE)
  ]
  np.testing.assert_array_equal(*pair)

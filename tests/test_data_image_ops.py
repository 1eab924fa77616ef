"""What each image operation does to pixels, boxes and sizes."""

import io

import jax
import numpy as np
import PIL.Image
import pytest

from data import image_ops

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def noise(height, width, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width):
  image = PIL.Image.fromarray(noise(5, 6))
  return image.resize((width, height), PIL.Image.BICUBIC)


def encoded(image, kind='JPEG'):
  file = io.BytesIO()
  image.save(file, kind, **({'quality': 95} if kind == 'JPEG' else {}))
  return file.getvalue()


def test_opens_files_and_pixels():
  pixels = noise(5, 7)
  for data in (pixels, encoded(PIL.Image.fromarray(pixels), 'PNG')):
    np.testing.assert_array_equal(image_ops.open_image(data), pixels)
  grey = image_ops.open_image(pixels[:, :, :1])
  np.testing.assert_array_equal(grey, pixels[:, :, 0])


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'RGB'])
def test_any_jpeg_becomes_rgb(mode):
  image = smooth(60, 50)
  data = encoded(image.convert(mode))
  # PIL's own round trip through the mode is the reference.
  reference = np.asarray(image.convert(mode).convert('RGB'), np.float32)
  found = image_ops.resize_and_center_crop(
    image_ops.open_image(data), size=50, crop_fraction=1.0
  )
  assert found.mode == 'RGB' and found.size == (50, 50)
  assert np.abs(np.asarray(found, np.float32) - reference[5:55]).mean() < 4
  found = image_ops.random_resized_crop(
    image_ops.open_image(data),
    np.random.default_rng(0),
    size=20,
    scale=SCALE,
    ratio=RATIO,
  )
  assert found.mode == 'RGB' and found.size == (20, 20)


def test_crop_boxes_have_the_area_and_aspect_of_the_law():
  rng = np.random.default_rng(0)
  areas, log_aspects, centres = [], [], []
  for _ in range(3000):
    left, top, width, height = image_ops.crop_box(
      (4000, 4000), rng, SCALE, RATIO
    )
    assert 0 <= left <= 4000 - width and 0 <= top <= 4000 - height
    areas.append(width * height / 4000**2)
    log_aspects.append(np.log(width / height))
    centres.append((left / (4000 - width + 1), top / (4000 - height + 1)))
  assert 0.0799 < min(areas) < 0.085 and max(areas) > 0.95
  assert np.abs(log_aspects).max() < np.log(4 / 3) + 1e-3
  assert abs(np.mean(log_aspects)) < 0.01
  # Boxes that do not fit are drawn again: what fits is uniform below 3/4.
  small = np.array(areas)[np.array(areas) < 0.7]
  share = np.mean(small < (0.08 + 0.7) / 2)
  assert abs(share - 0.5) < 0.04
  np.testing.assert_allclose(np.mean(centres, axis=0), 0.5, atol=0.02)


@pytest.mark.parametrize(
  'size, box',
  [
    ((1000, 10), (493, 0, 13, 10)),  # too wide: 4/3 of the height
    ((10, 1000), (0, 493, 10, 13)),  # too tall: width / (3/4)
  ],
)
def test_an_image_that_fits_no_box_is_cropped_in_the_middle(size, box):
  rng = np.random.default_rng(0)
  found = image_ops.crop_box(size, rng, (0.9, 1.0), RATIO)
  assert found == box


def test_a_crop_is_what_pil_makes_of_its_box():
  image = PIL.Image.fromarray(noise(100, 120))
  left, top, width, height = image_ops.crop_box(
    image.size, np.random.default_rng(5), SCALE, RATIO
  )
  found = image_ops.random_resized_crop(
    image, np.random.default_rng(5), size=64, scale=SCALE, ratio=RATIO
  )
  box = (left, top, left + width, top + height)
  expected = image.crop(box).resize((64, 64), PIL.Image.BICUBIC)
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('height, width', [(801, 1203), (1000, 640)])
def test_decoding_less_of_a_jpeg_changes_little(height, width):
  data = encoded(smooth(height, width))
  whole = PIL.Image.open(io.BytesIO(data)).convert('RGB')  # cannot shrink
  shrunk = 0
  for seed in range(10):
    crops = []
    for image in (image_ops.open_image(data), whole):
      rng = np.random.default_rng(seed)
      crops.append(
        image_ops.random_resized_crop(
          image, rng, size=64, scale=SCALE, ratio=RATIO
        )
      )
      shrunk += image.size != (width, height)
    difference = np.subtract(*(np.asarray(c, np.float32) for c in crops))
    assert np.abs(difference).mean() < 0.6
  assert shrunk == 10


def test_flip_mirrors_half_of_the_images():
  pixels = noise(4, 6)
  rng = np.random.default_rng(0)
  flips = 0
  for _ in range(400):
    found = np.asarray(image_ops.random_flip(PIL.Image.fromarray(pixels), rng))
    flipped = np.array_equal(found, pixels[:, ::-1])
    assert flipped or np.array_equal(found, pixels)
    flips += flipped
  assert 160 < flips < 240


def test_color_jitter():
  image = smooth(8, 8)
  rng = np.random.default_rng(0)

  def jitter(**strengths):
    zeros = dict(brightness=0.0, contrast=0.0, saturation=0.0)
    return np.asarray(
      image_ops.color_jitter(image, rng, **{**zeros, **strengths}), np.float32
    )

  np.testing.assert_array_equal(jitter(), np.asarray(image))
  pixels = np.asarray(image, np.float32)
  unclipped = pixels < 255 / 1.4
  factors = []
  for _ in range(100):
    bright = jitter(brightness=0.4)
    ratio = bright[unclipped].sum() / pixels[unclipped].sum()
    np.testing.assert_allclose(
      bright[unclipped], (pixels * ratio)[unclipped], atol=2
    )
    factors.append(ratio)
  assert 0.58 < min(factors) < 0.65 and 1.35 < max(factors) < 1.42
  grey = np.asarray(image.convert('L'), np.float32)
  for _ in range(10):
    # Contrast moves pixels along the line to the mean grey, saturation along
    # the line to their own grey.
    for kind, centre in (('contrast', grey.mean()), ('saturation', grey)):
      found = jitter(**{kind: 0.2})
      away = pixels - np.broadcast_to(centre, (8, 8))[:, :, None]
      moved = found - pixels
      inside = (found > 0) & (found < 255)
      factor = (moved * away)[inside].sum() / (away * away)[inside].sum()
      assert abs(factor) < 0.22
      np.testing.assert_allclose(
        moved[inside], (factor * away)[inside], atol=2.5
      )


def affine(pixels, seed=0, **ranges):
  zeros = dict(degrees=0.0, translate=0.0, scale=(1.0, 1.0))
  return np.asarray(
    image_ops.random_affine(
      PIL.Image.fromarray(pixels),
      np.random.default_rng(seed),
      **{**zeros, **ranges},
    )
  )


def test_affine():
  pixels = noise(9, 9)[:, :, 0]
  np.testing.assert_array_equal(affine(pixels), pixels)
  # The centre stays under rotation and magnification; a corner moves out.
  dot = np.zeros((9, 9), np.uint8)
  dot[4, 4] = 200
  for seed in range(5):
    assert affine(dot, seed, degrees=180.0)[4, 4] == 200
    big = affine(np.pad(dot[4:5, 4:5], 4, mode='edge'), seed, scale=(3.0, 3.0))
    assert (big == 200).all()
  small = affine(np.full((9, 9), 200, np.uint8), scale=(1 / 3, 1 / 3))
  assert (small[3:6, 3:6] == 200).all() and small.sum() == 9 * 200


def test_affine_shifts_by_up_to_the_given_pixels():
  dot = np.zeros((15, 15), np.float32)
  dot[7, 7] = 200
  grid = np.arange(15) - 7
  shifts = []
  for seed in range(200):
    found = affine(dot.astype(np.uint8), seed, translate=3.0).astype(float)
    assert abs(found.sum() - 200) < 4  # bilinear: the mass stays
    shifts.append(
      [(found.sum(axis=a) * grid).sum() / found.sum() for a in (0, 1)]
    )
  shifts = np.array(shifts)
  assert 2.7 < np.abs(shifts).max() < 3.05
  np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.4)
  assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.25


@pytest.mark.parametrize(
  'width, height, resized',
  [(500, 375, (330, 248)), (375, 500, (248, 330)), (100, 100, (248, 248))],
)
def test_evaluation_crop(width, height, resized):
  image = PIL.Image.fromarray(noise(height, width))
  found = image_ops.resize_and_center_crop(image, size=224, crop_fraction=0.9)
  whole = image.resize(resized, PIL.Image.BICUBIC)
  left, top = (resized[0] - 224) // 2, (resized[1] - 224) // 2
  expected = whole.crop((left, top, left + 224, top + 224))
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('channels', [1, 3])
def test_normalize(channels):
  mean, std = (0.4, 0.5, 0.6)[:channels], (0.1, 0.2, 0.3)[:channels]
  pixels = noise(5, 7)[:, :, :channels]
  found = image_ops.normalize(image_ops.open_image(pixels), mean, std)
  assert found.dtype == np.float32
  expected = (pixels.astype(np.float64) / 255 - mean) / std
  np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(
  'shape, size', [((30, 47), 21), ((9, 12), 40), ((16, 16), 16), ((3, 90), 8)]
)
def test_resize_as_tensorflow_is_keys_kernel_at_pixel_centres(shape, size):
  pixels = np.random.default_rng(0).integers(0, 2, (*shape, 3)) * 255
  image = PIL.Image.fromarray(pixels.astype(np.uint8))
  found = image_ops.resize_as_tensorflow(image, size=size)
  expected = jax.image.resize(
    pixels.astype(np.float32), (size, size, 3), 'cubic', antialias=False
  )
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, atol=2e-3)
  if size == 40:  # overshoot stays
    assert found.min() < -5 and found.max() > 260


def test_a_central_square_has_a_pixel_at_least():
  line = PIL.Image.new('RGB', (5, 1), (10, 20, 30))
  crop = image_ops.center_crop(line, fraction=0.9)
  assert crop.size == (1, 1) and crop.getpixel((0, 0)) == (10, 20, 30)

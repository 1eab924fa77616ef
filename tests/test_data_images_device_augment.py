"""RandAugment on the device beside PIL's, operation by operation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from data.images import device_augment, imagenet, rand_augment

FILL = (1, 2, 3)
LEVELS = (0.0, 0.1, 0.37, 0.5, 0.9, 1.0)


def law(increasing, **fields):
  return rand_augment.RandAugment(
    **dict(
      num_layers=2,
      magnitude=9.0,
      magnitude_std=0.5,
      prob=1.0,
      increasing=increasing,
      fill=FILL,
    )
    | fields
  )


class Draws:
  """A generator whose signs all are `sign`."""

  def __init__(self, sign):
    self.sign = sign

  def random(self):
    return 0.2 if self.sign > 0 else 0.8

  def integers(self, high):
    return high // 2


def make_ops(increasing):
  if increasing:
    return rand_augment.increasing_ops
  return rand_augment.original_ops


def photograph(height, width, seed=0):
  pixels = np.random.default_rng(seed).integers(
    0, 256, (6, 5, 3), dtype=np.uint8
  )
  image = PIL.Image.fromarray(pixels)
  return image.resize((width, height), PIL.Image.BICUBIC)


@pytest.fixture(scope='module', params=[True, False])
def compiled(request):
  """The kind of operations, and all of them as one program."""
  augment = law(request.param)

  @jax.jit
  def apply(image, op, level, sign):
    return device_augment.apply_op(
      augment, image, op, level, sign, jax.random.key(0)
    )

  return request.param, apply


@pytest.mark.parametrize('increasing', [True, False])
def test_names_are_pils_in_their_order(increasing):
  ops = make_ops(increasing)(0.5, np.random.default_rng(0), FILL)
  assert device_augment.op_names(law(increasing)) == list(ops)


@pytest.mark.parametrize('size', [(33, 57), (40, 40)])
def test_pixels_are_pils(compiled, size):
  """To one grey level, but for pixels on the very border of what turns."""
  increasing, apply = compiled
  image = photograph(*size)
  pixels = jnp.float32(np.asarray(image))
  for op, name in enumerate(device_augment.op_names(law(increasing))):
    if name == 'cutout':  # drawn in another way: below
      continue
    for level in LEVELS:
      for sign in (1.0, -1.0):
        expected = make_ops(increasing)(level, Draws(sign), FILL)[name](image)
        found = apply(pixels, op, jnp.float32(level), jnp.float32(sign))
        apart = np.abs(found - np.asarray(expected, np.float32))
        assert np.mean(apart > 1) < 1e-3, (name, level, sign)
        assert np.mean(apart > 0) < 0.05, (name, level, sign)


def test_grey_and_flat_images(compiled):
  """Nothing to stretch, nothing to make even, colours alone."""
  increasing, apply = compiled
  for colour in ((0, 0, 0), (255, 255, 255), (7, 7, 9)):
    image = PIL.Image.new('RGB', (20, 20), colour)
    for op, name in enumerate(device_augment.op_names(law(increasing))):
      if name == 'cutout':
        continue
      expected = make_ops(increasing)(0.5, Draws(1), FILL)[name](image)
      found = apply(jnp.float32(np.asarray(image)), op, 0.5, 1.0)
      assert np.abs(found - np.asarray(expected, np.float32)).max() <= 1, name


def test_cutout_fills_a_square():
  augment = law(False)
  op = device_augment.op_names(augment).index('cutout')
  image = jnp.full((50, 60, 3), 200.0)
  cut_out = jax.jit(
    lambda key: device_augment.apply_op(augment, image, op, 0.25, 1.0, key)
  )
  areas = set()
  for seed in range(8):
    out = cut_out(jax.random.key(seed))
    cut = np.all(out == np.float32(FILL), axis=-1)
    rows, columns = cut.any(axis=1), cut.any(axis=0)
    assert np.array_equal(cut, rows[:, None] & columns[None])
    assert rows.sum() <= 20 and columns.sum() <= 20
    assert np.all(out[~cut] == 200)
    areas.add(int(cut.sum()))
  assert max(areas) == 400 and len(areas) > 1


def test_law_of_the_draws():
  """Each operation as often as the others, applied with the probability."""
  image = jnp.float32(np.asarray(photograph(8, 8)))
  augment = law(True, num_layers=1, prob=0.5)
  images = jnp.broadcast_to(image, (500, *image.shape))

  @jax.jit
  def apply(key):
    keys = jax.random.split(key, len(images))
    return device_augment.rand_augment(augment, images, keys)

  out = apply(jax.random.key(0))
  inverted = np.mean(np.all(out == 255 - image, axis=(1, 2, 3)))
  untouched = np.mean(np.all(out == image, axis=(1, 2, 3)))
  deviation = np.sqrt(1 / 30 * 29 / 30 / 500)
  assert abs(inverted - 1 / 30) < 4 * deviation
  assert 0.45 < untouched < 0.65  # some change nothing
  assert not np.array_equal(out, apply(jax.random.key(1)))


def options(**augment):
  fields = dict(
    num_layers=1, magnitude=9, magnitude_std=0, prob=1, increasing=True
  )
  return dict(image_size=32, crop_fraction=0.9, augment=fields | augment)


@pytest.mark.full
def test_host_and_device_share_the_work():
  example = imagenet.synthetic('train', 1)[0]

  def host(**augment):
    rng = np.random.default_rng(0)
    return imagenet.preprocess(
      example, train=True, rng=rng, **options(**augment)
    )['image']

  plain = host(prob=0, on_device=False)
  np.testing.assert_array_equal(host(on_device=True), plain)
  assert imagenet.on_device(**options(on_device=False)) is None
  assert imagenet.on_device(**options() | {'augment': None}) is None
  batch = {'image': jnp.stack([plain] * 6), 'label': jnp.arange(6)}
  keys = jax.random.split(jax.random.key(0), 6)
  same = imagenet.on_device(**options(prob=0, on_device=True))
  found = same(batch, keys)
  np.testing.assert_allclose(found['image'], batch['image'], atol=1e-6)
  assert found['label'] is batch['label']
  other = imagenet.on_device(**options(on_device=True))
  found = other(batch, keys)['image']
  assert found.shape == batch['image'].shape
  assert len({np.asarray(x).tobytes() for x in found}) > 3  # draws of their own


@pytest.mark.full
@pytest.mark.parametrize(
  'increasing', [True, pytest.param(False, marks=pytest.mark.full)]
)
def test_taking_turns_changes_nothing(increasing):
  """What a GPU does is all at once."""
  images = jnp.stack(
    [jnp.float32(np.asarray(photograph(20, 24, seed))) for seed in range(40)]
  )
  keys = jax.random.split(jax.random.key(3), len(images))
  augment = law(increasing, prob=0.8)
  one = functools.partial(device_augment._augment_one, augment)
  found = jax.jit(functools.partial(device_augment.rand_augment, augment))(
    images, keys
  )
  at_once = jax.jit(jax.vmap(one))(images, keys)
  apart = np.abs(found - at_once)
  assert apart.max() <= 1 and np.mean(apart > 0) < 1e-3

"""Mixup, cutmix, smoothing and erasing: identities and distributions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from train_lib import mixing

OFF = dict(
  mixup_alpha=0.0,
  cutmix_alpha=0.0,
  label_smoothing=0.0,
  erasing_prob=0.0,
)


@pytest.fixture(scope='module')
def images():
  return jax.random.uniform(jax.random.key(9), (6, 72, 64, 2))


ON = dict(
  mixup_alpha=0.8,
  cutmix_alpha=1.0,
  prob=1.0,
  switch_prob=0.5,
  label_smoothing=0.1,
  erasing_prob=0.25,
)
DEFAULT = jax.jit(mixing.Mixing(5, **ON))
ERASE = jax.jit(mixing.random_erasing)
LABELS = jnp.array([0, 1, 2, 3, 4, 4])


@functools.cache  # to compile each of them once
def make(**changes):
  mix = mixing.Mixing(5, **ON | OFF | changes)
  return jax.jit(mix)


def run(mix, images, num=40):
  """(mixed images, soft labels) for many keys."""
  keys = jax.random.split(jax.random.key(0), num)
  return [tuple(map(np.asarray, mix(key, images, LABELS))) for key in keys]


def own_weight(soft_labels):
  """The weight of the labels themselves: examples 0 and 5 differ in class."""
  return soft_labels[0, 0]


def test_everything_off_is_identity(images):
  for found, labels in run(make(), images, 3):
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(labels, np.eye(5)[LABELS])
  for found, _ in run(make(mixup_alpha=1.0, prob=0.0), images, 3):
    np.testing.assert_array_equal(found, images)


def test_label_smoothing_alone():
  labels = run(make(label_smoothing=0.1), jnp.zeros((6, 1, 1, 3)), 1)[0][1]
  expected = 0.9 * np.eye(5)[LABELS] + 0.1 / 5
  np.testing.assert_allclose(labels, expected, atol=1e-6)


def test_mixup_blends_with_the_reversed_batch(images):
  weights = []
  for found, labels in run(make(mixup_alpha=0.8), images):
    w = own_weight(labels)
    expected = w * images + (1 - w) * images[::-1]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    one_hot = np.eye(5)[LABELS]
    np.testing.assert_allclose(
      labels, w * one_hot + (1 - w) * one_hot[::-1], atol=1e-6
    )
    weights.append(w)
  assert len(set(weights)) == 40


def test_cutmix_pastes_a_box_of_the_reversed_batch(images):
  shares = []
  for found, labels in run(make(cutmix_alpha=1.0), images, 100):
    pasted = (found == images[::-1]).all(axis=(0, 3))
    np.testing.assert_array_equal(
      found, np.where(pasted[:, :, None], images[::-1], images)
    )
    rows, columns = pasted.any(1), pasted.any(0)
    np.testing.assert_array_equal(pasted, rows[:, None] & columns[None, :])
    for line in (rows, columns):  # one run of ones
      assert np.abs(np.diff(np.pad(line.astype(int), 1))).sum() in (0, 2)
    # The label's weight is the area's, also where the border cut the box.
    np.testing.assert_allclose(own_weight(labels), 1 - pasted.mean(), atol=1e-6)
    shares.append(pasted.mean())
  assert min(shares) < 0.05 and max(shares) > 0.5


@pytest.mark.full
def test_weights_follow_the_beta_law(images):
  weights = [own_weight(x) for _, x in run(make(mixup_alpha=0.8), images, 1500)]
  # Var of Beta(a, a) is 1 / (4 (2 a + 1)).
  assert abs(np.mean(weights) - 0.5) < 0.03
  assert abs(np.var(weights) - 1 / (4 * 2.6)) < 0.01
  # timm's boxes keep E[area] below E[1 - lambda] = 1/2: the border cuts them.
  # A side of length s about a uniform centre keeps s - s^2 / 4 on average, so
  # E[share] = E[(s - s^2/4)^2] with s^2 uniform = 1/2 - 1/5 + 1/48.
  weights = [
    own_weight(x) for _, x in run(make(cutmix_alpha=1.0), images, 1500)
  ]
  assert abs(1 - np.mean(weights) - (1 / 2 - 1 / 5 + 1 / 48)) < 0.03


@pytest.mark.full
def test_mixup_and_cutmix_take_turns(images):
  mix = make(mixup_alpha=0.8, cutmix_alpha=1.0, switch_prob=0.3, prob=0.8)
  kinds = {'none': 0, 'cutmix': 0, 'mixup': 0}
  for found, labels in run(mix, images, 600):
    own = (found == images).all(axis=(0, 3))
    other = (found == images[::-1]).all(axis=(0, 3))
    if own_weight(labels) == 1:  # also an empty cutmix box
      np.testing.assert_array_equal(found, images)
      kinds['none'] += 1
    else:
      kinds['cutmix' if (own | other).all() else 'mixup'] += 1
  assert abs(kinds['mixup'] / 600 - 0.8 * 0.7) < 0.05
  assert abs(kinds['cutmix'] / 600 - 0.8 * 0.3) < 0.05


def test_soft_labels_sum_to_one(images):
  for found, labels in run(DEFAULT, images, 10):
    assert labels.shape == (6, 5) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    assert labels.min() >= 0.02 - 1e-6
    assert np.isfinite(found).all()


def test_images_keep_their_type(images):
  found, labels = jax.eval_shape(
    mixing.Mixing(5, **ON),
    jax.random.key(0),
    images.astype(jnp.bfloat16),
    LABELS,
  )
  assert (found.dtype, labels.dtype) == (jnp.bfloat16, jnp.float32)


def erased_boxes(prob):
  images = jnp.full((2000, 40, 60, 2), 7.0)
  found = np.asarray(ERASE(jax.random.key(1), images, prob))
  return found, (found != 7.0).all(axis=3)


def test_erasing_fills_one_box_with_normal_noise():
  found, erased = erased_boxes(1.0)
  rows, columns = erased.any(2), erased.any(1)
  np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
  heights, widths = rows.sum(1), columns.sum(1)
  assert erased.any((1, 2)).all() and heights.max() < 40 and widths.max() < 60
  for lines in (rows, columns):
    edges = np.abs(np.diff(np.pad(lines.astype(int), ((0, 0), (1, 1)))))
    assert (edges.sum(1) == 2).all()
  shares = heights * widths / 2400
  assert 0.015 < shares.min() < 0.03 and 0.31 < shares.max() < 0.345
  # Uniform where nearly every box fits.
  low = shares[shares < 0.15]
  assert abs(np.mean(low < 0.085) - 0.5) < 0.05
  aspects = np.log(heights / widths)[shares < 0.1]
  assert abs(aspects.mean()) < 0.1
  np.testing.assert_allclose(np.abs(aspects).max(), np.log(1 / 0.3), atol=0.25)
  noise = found[erased]
  assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
  # Boxes lie anywhere: on each border, and symmetric about the centre.
  assert rows[:, 0].any() and rows[:, -1].any()
  assert columns[:, 0].any() and columns[:, -1].any()
  cover = erased.mean(0)
  assert np.abs(cover - cover[::-1, ::-1]).max() < 0.08


def test_erasing_spares_the_other_images():
  found, erased = erased_boxes(0.25)
  assert abs(erased.any((1, 2)).mean() - 0.25) < 0.03
  assert (found[~erased] == 7.0).all()


def test_erasing_comes_after_mixing(images):
  """Noise at full strength, and in no place that its mirror image lost."""
  mix = make(mixup_alpha=1.0)
  both = make(mixup_alpha=1.0, erasing_prob=1.0)
  for key in jax.random.split(jax.random.key(3), 5):
    mixed, soft_labels = mix(key, images, LABELS)
    found, labels = both(key, images, LABELS)
    erased = np.any(np.abs(np.asarray(found - mixed)) > 1e-5, axis=-1)
    assert erased.any((1, 2)).all()
    for mask in erased:  # One box, its own.
      rows, columns = mask.any(1), mask.any(0)
      np.testing.assert_array_equal(mask, rows[:, None] & columns)
    noise = np.asarray(found)[erased]
    assert abs(noise.std() - 1) < 0.2
    np.testing.assert_array_equal(labels, soft_labels)


@pytest.mark.full
def test_a_sharded_batch_is_mixed_as_one(images):
  devices = len(jax.devices())
  batch = jnp.tile(images, (devices, 1, 1, 1))
  labels = jnp.tile(LABELS, devices)
  mesh = jax.make_mesh((devices,), ('data',), axis_types=(AxisType.Auto,))
  sharding = NamedSharding(mesh, PartitionSpec('data'))
  key = jax.random.key(3)
  alone = DEFAULT(key, batch, labels)
  spread = DEFAULT(key, *jax.device_put((batch, labels), sharding))
  for a, b in zip(alone, spread, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
  'field, value',
  [
    ('mixup_alpha', -1.0),
    ('cutmix_alpha', -0.1),
    ('prob', 1.1),
    ('switch_prob', -0.5),
    ('label_smoothing', 2.0),
    ('erasing_prob', 1.5),
  ],
)
def test_bad_fields_are_named(field, value):
  with pytest.raises(ValueError, match=f'{field}: expected .* found {value}'):
    mixing.Mixing(5, **ON | {field: value})


def test_bad_inputs_are_named(images):
  with pytest.raises(ValueError, match='num_classes: .* found 0'):
    mixing.Mixing(0, **ON)
  with pytest.raises(ValueError, match=r'found \(6, 72, 64, 2\) and \(6, 5\)'):
    mixing.Mixing(5, **ON)(jax.random.key(0), images, jnp.zeros((6, 5)))


@functools.cache
def mixed_halves():
  """Many mixed batches of 4 outputs: images, soft labels, the pairs."""
  images = jax.random.uniform(jax.random.key(9), (8, 24, 32, 2))
  labels = jnp.arange(8)
  mix = jax.jit(jax.vmap(mixing.HalvesMixing(8, 0.2, 0.1), (0, None, None)))
  keys = jax.random.split(jax.random.key(0), 1000)
  found, soft = map(np.asarray, mix(keys, images, labels))
  images = np.asarray(images)
  return found, soft, images[::2], images[1::2]


def own_weights(soft):
  """[batches, outputs]: the weight of each first image's label."""
  first = soft[:, np.arange(4), 2 * np.arange(4)]
  second = soft[:, np.arange(4), 2 * np.arange(4) + 1]
  np.testing.assert_allclose(soft.sum(-1), 1, atol=1e-5)
  np.testing.assert_allclose(first + second, 0.9 + 2 * 0.1 / 8, atol=1e-5)
  return (first - 0.1 / 8) / 0.9


def test_the_first_half_of_the_pairs_is_mixup():
  found, soft, first, second = mixed_halves()
  weights = own_weights(soft)[:, :2]
  w = weights[..., None, None, None]
  expected = w * first[:2] + (1 - w) * second[:2]
  np.testing.assert_allclose(found[:, :2], expected, atol=1e-5)
  assert abs(weights.mean() - 0.5) < 0.03
  # Var of Beta(a, a) is 1 / (4 (2 a + 1)).
  assert abs(weights.var() - 1 / (4 * 1.4)) < 0.01
  assert abs(np.corrcoef(weights.T)[0, 1]) < 0.1  # each pair its own


def test_the_second_half_of_the_pairs_is_cutmix():
  found, soft, first, second = mixed_halves()
  inside = (found[:, 2:] == first[2:]).all(-1)
  outside = (found[:, 2:] == second[2:]).all(-1)
  assert (inside ^ outside).all()
  rows, columns = inside.any(3), inside.any(2)
  np.testing.assert_array_equal(inside, rows[..., None] & columns[..., None, :])
  shares = inside.mean((2, 3))
  np.testing.assert_allclose(own_weights(soft)[:, 2:], shares, atol=1e-5)
  # As for `Mixing`: what the border leaves of boxes with uniform areas, whose
  # sides are rounded down to even numbers.
  assert abs(shares.mean() - (1 / 2 - 1 / 5 + 1 / 48)) < 0.04
  assert abs(np.corrcoef(shares.T)[0, 1]) < 0.1


def test_halves_need_pairs():
  with pytest.raises(ValueError, match='images: found 3, expected an even'):
    mixing.HalvesMixing(5, 0.2, 0.1)(
      jax.random.key(0), jnp.zeros((3, 4, 4, 1)), jnp.zeros(3, int)
    )
  with pytest.raises(ValueError, match='mixup_alpha: .* found 0'):
    mixing.HalvesMixing(5, 0, 0.1)

"""Each operation of RandAugment, by what it does to pixels."""

import numpy as np
import PIL.Image
import pytest

from data.images import rand_augment

FILL = (1, 2, 3)
INCREASING = sorted(
  rand_augment.increasing_ops(0.0, np.random.default_rng(0), FILL)
)
ORIGINAL = sorted(
  rand_augment.original_ops(0.0, np.random.default_rng(0), FILL)
)


@pytest.fixture
def image():
  pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
  return PIL.Image.fromarray(pixels).resize((40, 48), PIL.Image.BICUBIC)


def increasing(name, level, image, seed=0):
  ops = rand_augment.increasing_ops(level, np.random.default_rng(seed), FILL)
  return np.asarray(ops[name](image)).astype(int)


def original(name, level, image, seed=0):
  ops = rand_augment.original_ops(level, np.random.default_rng(seed), FILL)
  return np.asarray(ops[name](image)).astype(int)


def both_signs(op, name, level, image):
  """The two outcomes, each of which about half of the seeds give."""
  found = [op(name, level, image, seed) for seed in range(40)]
  kinds = {x.tobytes(): x for x in found}
  assert len(kinds) == 2
  first = sum(x.tobytes() == found[0].tobytes() for x in found)
  assert 8 < first < 32
  return list(kinds.values())


def test_op_sets():
  assert len(INCREASING) == 15
  assert sorted([*INCREASING, 'cutout']) == ORIGINAL


@pytest.mark.parametrize('name', ORIGINAL)
def test_ops_keep_size_and_type_at_every_level(name, image):
  for level in np.linspace(0, 1, 21):
    for make in (rand_augment.increasing_ops, rand_augment.original_ops):
      ops = make(level, np.random.default_rng(0), FILL)
      if name in ops:
        out = ops[name](image)
        assert (out.size, out.mode) == (image.size, 'RGB')


def test_increasing_ops_start_at_identity(image):
  pixels = np.asarray(image)
  changed = {
    name
    for name in INCREASING
    if not np.array_equal(increasing(name, 0.0, image), pixels)
  }
  assert changed == {'auto_contrast', 'equalize', 'invert', 'posterize'}


def test_increasing_ops_change_more_and_more(image):
  pixels = np.asarray(image).astype(int)
  for name in set(INCREASING) - {'auto_contrast', 'equalize', 'invert'}:
    changes = [
      np.mean(
        [np.abs(increasing(name, x, image, s) - pixels) for s in range(12)]
      )
      for x in (0.3, 0.6, 1.0)
    ]
    assert changes == sorted(changes) and changes[0] < changes[-1], name


@pytest.mark.parametrize('op', [increasing, original])
def test_ops_without_a_level(op, image):
  pixels = np.asarray(image).astype(int)
  np.testing.assert_array_equal(op('invert', 0.3, image), 255 - pixels)
  low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
  stretched = (pixels - low) * 255 / (high - low)
  np.testing.assert_allclose(op('auto_contrast', 0.3, image), stretched, atol=1)
  flat = op('equalize', 0.3, image)
  share = [np.mean(flat[:, :, c] < 128) for c in range(3)]
  np.testing.assert_allclose(share, 0.5, atol=0.05)


@pytest.mark.parametrize(
  'level, kept_increasing, kept_original',
  [(0.0, 4, 0), (0.49, 3, 1), (0.9, 1, 3), (1.0, 0, 4)],
)
def test_posterize_keeps_bits(level, kept_increasing, kept_original, image):
  pixels = np.asarray(image).astype(int)
  for op, bits in ((increasing, kept_increasing), (original, kept_original)):
    step = 2 ** (8 - bits)
    found = op('posterize', level, image)
    np.testing.assert_array_equal(found, pixels // step * step)


@pytest.mark.parametrize('level', [0.0, 0.5, 0.9, 1.0])
def test_solarize(level, image):
  pixels = np.asarray(image).astype(int)
  threshold = int(level * 256)
  for op, limit in ((increasing, 256 - threshold), (original, threshold)):
    expected = np.where(pixels < limit, pixels, 255 - pixels)
    np.testing.assert_array_equal(op('solarize', level, image), expected)
    added = np.minimum(pixels + int(level * 110), 255)
    expected = np.where(pixels < 128, added, pixels)
    np.testing.assert_array_equal(op('solarize_add', level, image), expected)


def enhanced(name, image, factor):
  """Blends away from what the enhancement calls nothing."""
  pixels = np.asarray(image).astype(float)
  grey = np.asarray(image.convert('L')).astype(float)
  if name == 'brightness':
    nothing = 0.0
  elif name == 'contrast':
    nothing = int(grey.mean() + 0.5)
  elif name == 'color':
    nothing = grey[:, :, None]
  else:
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
    rows, columns = pixels.shape[:2]
    nothing = (
      4 * pixels / 13
      + sum(
        padded[i : i + rows, j : j + columns]
        for i in range(3)
        for j in range(3)
      )
      / 13
    )
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
      nothing[edge] = pixels[edge]
  return np.clip(nothing + factor * (pixels - nothing), 0, 255)


@pytest.mark.parametrize(
  'name', ['brightness', 'contrast', 'color', 'sharpness']
)
def test_enhancements(name, image):
  for level in (0.4, 0.9):
    found = both_signs(increasing, name, level, image)
    expected = [
      enhanced(name, image, 1 + sign * 0.9 * level) for sign in (-1, 1)
    ]
    error = min(
      max(np.abs(a - b).max() for a, b in zip(found, order, strict=True))
      for order in (expected, expected[::-1])
    )
    assert error < 2.5
    found = original(name, level, image)
    expected = enhanced(name, image, 0.1 + 1.8 * level)
    np.testing.assert_allclose(found, expected, atol=2.5)


def test_rotate(image):
  for op, resample in (
    (increasing, PIL.Image.BICUBIC),
    (original, PIL.Image.NEAREST),
  ):
    expected = [
      np.asarray(image.rotate(sign * 15, resample, fillcolor=FILL))
      for sign in (-1, 1)
    ]
    for found in both_signs(op, 'rotate', 0.5, image):
      assert any(np.array_equal(found, e) for e in expected)
      assert (found[0, 0] == FILL).all() or (found[0, -1] == FILL).all()


@pytest.mark.parametrize('axis, name', [(1, 'translate_x'), (0, 'translate_y')])
def test_translate(axis, name, image):
  square = image.resize((40, 40))
  pixels = np.asarray(square).astype(int)
  shifts = {increasing: 9, original: 10}  # 0.45 * 40 / 2, 100 / 10
  for op, shift in shifts.items():
    level = 0.5 if op is increasing else 0.1
    forth, back = (np.roll(pixels, x, axis) for x in (shift, -shift))
    edge = [slice(None)] * 2
    edge[axis] = slice(0, shift)
    forth[tuple(edge)] = FILL
    edge[axis] = slice(40 - shift, 40)
    back[tuple(edge)] = FILL
    for found in both_signs(op, name, level, square):
      assert any(np.array_equal(found, e) for e in (forth, back))


@pytest.mark.parametrize('op', [increasing, original])
def test_shear_moves_rows_in_proportion(op, image):
  # A vertical line at column 20 becomes x = 20 -+ 0.3 * level * (y + 0.5).
  line = np.zeros((48, 40, 3), np.uint8)
  line[:, 20] = 255
  for found in both_signs(op, 'shear_x', 1.0, PIL.Image.fromarray(line)):
    places = found[:, :, 0].argmax(axis=1)
    slope = np.polyfit(np.arange(48), places, 1)[0]
    assert abs(abs(slope) - 0.3) < 0.01 and abs(places[0] - 20) <= 1
  across = PIL.Image.fromarray(line.swapaxes(0, 1).copy())
  for found in both_signs(op, 'shear_y', 1.0, across):
    places = found[:, :, 0].argmax(axis=0)
    slope = np.polyfit(np.arange(48), places, 1)[0]
    assert abs(abs(slope) - 0.3) < 0.01 and abs(places[0] - 20) <= 1


def test_cutout_fills_a_square_inside_the_image(image):
  pixels = np.asarray(image).astype(int)
  sizes = set()
  for seed in range(200):
    found = original('cutout', 0.2, image, seed)  # half side 8
    filled = (found == FILL).all(axis=2)
    rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
    assert filled.sum() == len(rows) * len(columns)
    np.testing.assert_array_equal(found[~filled], pixels[~filled])
    sizes.add((len(rows), len(columns)))
  assert max(sizes) == (16, 16) and min(sizes)[0] >= 8
  np.testing.assert_array_equal(original('cutout', 0.0, image), pixels)


def make(**changes):
  fields = dict(
    num_layers=2,
    magnitude=9.0,
    magnitude_std=0.5,
    prob=0.5,
    increasing=True,
    fill=FILL,
  )
  return rand_augment.RandAugment(**{**fields, **changes})


def test_an_rng_decides_everything(image):
  augment = make()
  found = [
    np.asarray(augment(image, np.random.default_rng(s))).tobytes()
    for s in list(range(30)) * 2
  ]
  assert found[:30] == found[30:]
  assert len(set(found)) > 15


def test_each_layer_is_skipped_half_of_the_time(image):
  # Invert is its own inverse, so look at one layer of any operation.
  pixels = np.asarray(image)
  augment = make(num_layers=1)
  same = np.mean(
    [
      np.array_equal(augment(image, np.random.default_rng(s)), pixels)
      for s in range(600)
    ]
  )
  assert abs(same - 0.5) < 0.07
  never = make(num_layers=4, prob=0.0)
  np.testing.assert_array_equal(never(image, np.random.default_rng(0)), pixels)


def test_operations_are_drawn_alike_at_noisy_clipped_levels(monkeypatch, image):
  levels, drawn = [], []

  def spy(level, rng, fill):
    levels.append(level)
    return {
      name: lambda image, name=name: drawn.append(name) or image
      for name in INCREASING
    }

  monkeypatch.setattr(rand_augment, 'increasing_ops', spy)
  augment = make(prob=1.0)
  rng = np.random.default_rng(0)
  for _ in range(1500):
    augment(image, rng)
  counts = [drawn.count(name) for name in INCREASING]
  assert min(counts) > 150 and max(counts) < 250 and sum(counts) == 3000
  assert max(levels) == 1.0  # clipped: 2.3 % are beyond 10
  assert abs(np.mean(np.array(levels) == 1.0) - 0.0228) < 0.01
  assert abs(np.median(levels) - 0.9) < 0.005
  assert abs(np.std(levels) - 0.05) < 0.005
  levels.clear()
  make(magnitude=5.0, magnitude_std=0.0)(image, rng)
  assert levels == [0.5, 0.5]


@pytest.mark.parametrize(
  'field, value',
  [
    ('magnitude', 11),
    ('prob', 1.5),
    ('num_layers', -1),
    ('magnitude_std', -0.5),
  ],
)
def test_bad_fields_are_named(field, value):
  with pytest.raises(ValueError, match=f'{field}.*{value}'):
    make(**{field: value})

"""RandAugment on the device, in JAX, for a whole batch.

The operations, levels and draws are those of `rand_augment`, whose pixels these
are to one grey level. What PIL does one pixel after the other is done here for
all. Images take turns, and each goes through what was drawn for it alone; but
on a GPU, which waits for the host at every branch, all go through every
operation at once and keep what was drawn.

Letters: B batch, H height, W width. Images are float32 and hold integers from 0
to 255, channels last.
"""

import functools
import math

import jax
import jax.numpy as jnp

from data.images.rand_augment import RandAugment

_INCREASING = (
  'auto_contrast equalize invert rotate posterize solarize solarize_add color '
  'contrast brightness sharpness shear_x shear_y translate_x translate_y'
).split()
_ORIGINAL = [*_INCREASING, 'cutout']
_LUMA = (19595, 38470, 7471)  # of 65536, as PIL turns RGB into grey
_SMOOTH = 13  # what PIL divides the sum of 3 x 3 pixels by, the middle 5 times
_NOTHING = -1  # in the place of an operation's number
_FIXED = 2**16  # PIL's nearest neighbour counts in parts of a pixel


def rand_augment(
  augment: RandAugment, images: jax.Array, keys: jax.Array
) -> jax.Array:
  """Applies `augment` to each of images [B, H, W, 3], whose draws are keys'
  [B]."""
  one = functools.partial(_augment_one, augment)
  return jax.lax.platform_dependent(
    images,
    keys,
    cuda=jax.vmap(one),
    rocm=jax.vmap(one),
    default=lambda *args: jax.lax.map(lambda x: one(*x), args),
  )


def _augment_one(augment, image, key):
  def layer(image, keys):
    level_key, op_key, apply_key, sign_key, place_key = keys
    noise = augment.magnitude_std * jax.random.normal(level_key)
    level = jnp.clip(augment.magnitude + noise, 0, 10) / 10
    op = jax.random.randint(op_key, (), 0, len(op_names(augment)))
    sign = jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0)
    applied = jax.random.uniform(apply_key) < augment.prob
    op = jnp.where(applied, op, _NOTHING)
    return apply_op(augment, image, op, level, sign, place_key), None

  keys = jax.random.split(key, (augment.num_layers, 5))
  return jax.lax.scan(layer, image, keys)[0]


def op_names(augment: RandAugment) -> list[str]:
  """In the order that `apply_op` counts them."""
  return _INCREASING if augment.increasing else _ORIGINAL


def apply_op(
  augment: RandAugment,
  image: jax.Array,
  op: jax.Array,
  level: jax.Array,
  sign: jax.Array,
  key: jax.Array,
) -> jax.Array:
  """One operation on one image [H, W, 3].

  Args:
    augment: which set of operations, and what comes in at the borders.
    image: the image.
    op: [], its number in `op_names(augment)`; _NOTHING for none.
    level: [], in [0, 1].
    sign: [], 1 or -1, of what goes either way.
    key: where cutout's square lies.
  """
  names, increasing = op_names(augment), augment.increasing
  is_op = {name: op == i for i, name in enumerate(names)}
  fill = jnp.array(augment.fill, image.dtype)
  if increasing:
    factor = jnp.maximum(0.1, 1 + 0.9 * level * sign)
    bits, threshold = 4 - jnp.floor(level * 4), 256 - jnp.floor(level * 256)
  else:
    factor = 1.8 * level + 0.1
    bits, threshold = jnp.floor(level * 4), jnp.floor(level * 256)
  added = jnp.floor(level * 110)
  step = 2 ** (8 - bits)
  matrix = _matrix(augment, is_op, level * sign, image)

  def away_from(nothing):  # what an enhancement leads away from
    return lambda x: _blend(nothing(x), x, factor)

  branches = {
    'affine': lambda x: _affine(x, matrix, augment),
    'auto_contrast': _auto_contrast,
    'equalize': _equalize,
    'invert': lambda x: 255 - x,
    'posterize': lambda x: jnp.where(bits > 0, jnp.floor(x / step) * step, 0),
    'solarize': lambda x: jnp.where(x < threshold, x, 255 - x),
    'solarize_add': lambda x: jnp.where(
      x < 128, jnp.minimum(x + added, 255), x
    ),
    'color': away_from(_grey),
    'contrast': away_from(lambda x: jnp.floor(jnp.mean(_grey(x)) + 0.5)),
    'brightness': away_from(jnp.zeros_like),
    'sharpness': away_from(_smooth),
    'cutout': lambda x: _cutout(x, jnp.floor(level * 40), key, fill),
    'nothing': lambda x: x,
  }
  order = [x for x in branches if x in ('affine', 'nothing', *names)]
  # Those that move pixels share a branch, and their matrix says which it is.
  places = [order.index(x if x in branches else 'affine') for x in names]
  places.append(order.index('nothing'))  # at _NOTHING
  return jax.lax.switch(
    jnp.array(places)[op], [branches[name] for name in order], image
  )


def _matrix(augment, is_op, level, image):
  """Rows (a, b, c) and (d, e, f): x' = a x + b y + c, from output to input."""
  height, width = image.shape[:2]
  angle = -math.radians(30) * level
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  shear = 0.3 * level
  if augment.increasing:
    shift_x, shift_y = 0.45 * level * width, 0.45 * level * height
  else:
    shift_x = shift_y = 100 * level
  x, y = width / 2, height / 2
  one, zero = jnp.ones(()), jnp.zeros(())
  rotation = (
    *(cos, sin, x - cos * x - sin * y),
    *(-sin, cos, y + sin * x - cos * y),
  )
  matrices = {
    'rotate': rotation,
    'shear_x': (one, shear, zero, zero, one, zero),
    'shear_y': (one, zero, zero, shear, one, zero),
    'translate_x': (one, zero, shift_x, zero, one, zero),
    'translate_y': (one, zero, zero, zero, one, shift_y),
  }
  out = jnp.stack((one, zero, zero, zero, one, zero))
  for name, matrix in matrices.items():
    out = jnp.where(is_op[name], jnp.stack(matrix), out)
  return out


def _affine(image, matrix, augment):
  """PIL's `transform` by a matrix: bicubic, or the nearest pixel."""
  height, width = image.shape[:2]
  fill = jnp.array(augment.fill, image.dtype)
  a, b, c, d, e, f = matrix
  rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None]
  if not augment.increasing:
    x = _fixed(a) * columns + _fixed(b) * rows + _fixed(c + (a + b) / 2)
    y = _fixed(d) * columns + _fixed(e) * rows + _fixed(f + (d + e) / 2)
    x, y = x // _FIXED, y // _FIXED
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    out = image[jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)]
    return jnp.where(inside[..., None], out, fill)
  columns, rows = columns + 0.5, rows + 0.5
  x, y = a * columns + b * rows + c, d * columns + e * rows + f
  inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
  x, y = x - 0.5, y - 0.5
  left, top = jnp.floor(x), jnp.floor(y)
  x_weights, y_weights = _cubic(x - left), _cubic(y - top)
  left, top = left.astype(jnp.int32) - 1, top.astype(jnp.int32) - 1
  out = 0.0
  for i in range(4):
    row = jnp.clip(top + i, 0, height - 1)
    along = 0.0
    for j in range(4):
      column = jnp.clip(left + j, 0, width - 1)
      along += x_weights[j][..., None] * image[row, column]
    out += y_weights[i][..., None] * along
  return jnp.where(inside[..., None], _whole(out), fill)


def _fixed(x):
  return jnp.floor(x * _FIXED + 0.5).astype(jnp.int32)


def _cubic(d):
  """Weights of the four pixels about a place, d from the second: PIL's."""
  return (
    d * (-1 + d * (2 - d)),
    1 + d * d * (-2 + d),
    d * (1 + d * (1 - d)),
    d * d * (-1 + d),
  )


def _whole(x):
  """As PIL stores a value: cut to [0, 255] and to the integer below."""
  # What rounding left beneath an integer is that integer.
  return jnp.floor(jnp.clip(x, 0, 255) + 1e-3)


def _grey(image):
  """[H, W, 1], PIL's."""
  weights = jnp.array(_LUMA, jnp.int32)
  total = jnp.sum(image.astype(jnp.int32) * weights, axis=-1, keepdims=True)
  return ((total + 2**15) >> 16).astype(image.dtype)


def _blend(nothing, image, factor):
  return _whole(nothing + factor * (image - nothing))


def _smooth(image):
  """The mean of 3 x 3 pixels, the middle weighing 5; borders stay."""
  height, width = image.shape[:2]
  total = 4 * image[1:-1, 1:-1]
  for i in range(3):
    for j in range(3):
      total += image[i : height - 2 + i, j : width - 2 + j]
  inner = jnp.floor(total / _SMOOTH + 0.5)
  return image.at[1:-1, 1:-1].set(inner)


def _auto_contrast(image):
  low = jnp.min(image, axis=(0, 1))
  span = jnp.max(image, axis=(0, 1)) - low
  stretched = jnp.floor((image - low) * 255 / jnp.maximum(span, 1))
  return jnp.where(span > 0, stretched, image)


def _equalize(image):
  """Makes each channel's values equally frequent, as PIL counts."""
  values = jnp.arange(256, dtype=image.dtype)
  pixels = image.reshape(-1, 1, 3)
  below = jnp.sum(pixels < values[:, None], axis=0)  # [256, 3]
  highest = jnp.max(image, axis=(0, 1))
  num = pixels.shape[0]
  last = num - jnp.take_along_axis(
    below, highest.astype(jnp.int32)[None], axis=0
  )
  step = (num - last) // 255  # [1, 3]
  table = jnp.minimum((step // 2 + below) // jnp.maximum(step, 1), 255)
  table = jnp.where(step > 0, table, values[:, None]).astype(image.dtype)
  indices = image.astype(jnp.int32)
  return jnp.stack([table[indices[..., c], c] for c in range(3)], axis=-1)


def _cutout(image, half_side, key, fill):
  """A square about a random pixel, clipped at the borders."""
  height, width = image.shape[:2]
  y, x = jnp.floor(jax.random.uniform(key, (2,)) * jnp.array([height, width]))
  rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None]
  inside = (rows >= y - half_side) & (rows < y + half_side)
  inside &= (columns >= x - half_side) & (columns < x + half_side)
  return jnp.where(inside[..., None], fill, image)

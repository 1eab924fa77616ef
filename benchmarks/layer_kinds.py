"""Where PaCa-ViT's time goes on a CPU, by kind of layer.

  taskset -c 0 python -m benchmarks.layer_kinds

Every layer of the classifier is timed by itself, forward and backward, at the
shapes that it has in a batch of 8 images of 224 x 224 in float32, and counted
as often as it occurs. Prints processor milliseconds, and for kinds that are
products of matrices, attention among them, the rate beside that of a large
square product on the same core: the most that is to be had. What the compiler
fuses across layers is not seen, and a backward pass computes again what it
needs of the forward pass.
"""

import collections
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from paca_vit import clustering, layers, variants
from perceiver_paca.ops import attention, depthwise_conv, layer_norm, product
from train_lib import host_memory

_VARIANT = flags.DEFINE_string('variant', 'tiny_p2cconv_100_0', 'The model.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 8, 'Images.')
_IMAGE_SIZE = flags.DEFINE_integer('image_size', 224, 'Their side in pixels.')
_PASSES = flags.DEFINE_integer('passes', 5, 'Of which the median is taken.')


class Layer(NamedTuple):
  """Attributes:
  kind: row of the table.
  count: how often there is one like it.
  multiply_adds: of the forward pass; 0 if that is not what it consists of.
  apply: what it computes.
  shapes: of its arguments.
  """

  kind: str
  count: int
  multiply_adds: int
  apply: Callable[..., jax.Array]
  shapes: tuple[tuple[int, ...], ...]


def _linear(x, kernel, bias):
  return product.dot_general(x, kernel) + bias


def _norm(x, scale, bias):
  return layer_norm.layer_norm(x, scale, bias, 1e-6)


def _depthwise(x, kernel, bias):
  return depthwise_conv.depthwise_conv(x, kernel) + bias


def _strided(x, kernel):
  return jax.lax.conv_general_dilated(
    *(x, kernel, (2, 2), ((1, 1), (1, 1))),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _clusters(assignment, patches):
  return jnp.einsum('bmn,bnc->bmc', assignment, patches)


def layers_of(sizes: dict, b: int, image_size: int) -> Iterator[Layer]:
  """The classifier's layers, those that are alike once.

  Args:
    sizes: of `variants.CLASSIFIERS`, with convolutional clustering.
    b: images.
    image_size: a multiple of 32.
  """

  def linear(count, in_channels, channels, *rows):
    shapes = (*rows, in_channels), (in_channels, channels), (channels,)
    work = int(np.prod(rows)) * in_channels * channels
    return Layer('linear', count, work, _linear, shapes)

  def strided(side, in_channels, channels):
    shapes = (b, side, side, in_channels), (3, 3, in_channels, channels)
    work = b * (side // 2) ** 2 * 9 * in_channels * channels
    return Layer('strided convolution', 1, work, _strided, shapes)

  first = sizes['channels'][0]
  yield strided(image_size, 3, first // 2)
  before, side = first // 2, image_size // 2
  for c, depth, heads, m in zip(
    *(sizes[x] for x in ('channels', 'depths', 'num_heads', 'num_clusters')),
    strict=True,
  ):
    yield strided(side, before, c)
    before, side = c, side // 2
    grid, n = (b, side, side), side**2
    yield linear(2 * depth, c, c, b, n)  # query, out
    yield linear(2 * depth, c, c, b, m or n)  # key, value
    yield linear(depth, c, 4 * c, *grid)
    yield linear(depth, 4 * c, c, *grid)
    heads_of = ((b, x, heads, c // heads) for x in (n, m or n, m or n))
    work = 2 * b * n * (m or n) * c
    yield Layer('attention', depth, work, attention.attention, (*heads_of,))
    norms = 2 * depth + 2  # the stage's, and that of what comes before
    yield Layer('normalisation', norms, 0, _norm, ((*grid, c), (c,), (c,)))
    yield Layer('GELU', depth, 0, layers.gelu, ((*grid, 4 * c),))
    spatial = (*grid, 4 * c), (3, 3, 4 * c), (4 * c,)
    yield Layer('depth-wise 3x3', depth, 0, _depthwise, spatial)
    if not m:
      continue
    spatial = (*grid, c), (7, 7, c), (c,)
    yield Layer('depth-wise 7x7', 1, 0, _depthwise, spatial)
    yield linear(1, c, c, *grid)
    yield linear(1, c, m, *grid)
    yield Layer('GELU', 2, 0, layers.gelu, ((*grid, c),))
    yield Layer('assignment', 1, 0, clustering.assign, ((*grid, m),))
    gathered = (b, m, n), (b, n, c)
    yield Layer('clusters', depth, b * n * m * c, _clusters, gathered)
    yield Layer('normalisation', depth, 0, _norm, ((b, m, c), (c,), (c,)))


def milliseconds(fn: Callable[..., Any], *args: jax.Array) -> float:
  """The processor's, of a pass."""
  program = jax.jit(fn).lower(*args).compile()
  seconds = []
  for _ in range(_PASSES.value + 1):
    began = time.process_time()
    jax.block_until_ready(program(*args))
    seconds.append(time.process_time() - began)
  return 1000 * float(np.median(seconds[1:]))


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  host_memory.keep_freed()
  rng = np.random.default_rng(0)

  def normal(shape):
    return jnp.asarray(rng.standard_normal(shape, np.float32))

  def backward(layer):
    return lambda gradient, *args: jax.vjp(layer.apply, *args)[1](gradient)

  square = normal((1024, 1024))
  most = 2 * 1024**3 / milliseconds(jnp.matmul, square, square) / 1e6
  sums = collections.defaultdict(lambda: np.zeros(4))
  sizes = variants.CLASSIFIERS[_VARIANT.value]
  for layer in layers_of(sizes, _BATCH_SIZE.value, _IMAGE_SIZE.value):
    args = [normal(shape) for shape in layer.shapes]
    gradient = normal(jax.eval_shape(layer.apply, *args).shape)
    taken = (
      milliseconds(layer.apply, *args),
      milliseconds(backward(layer), gradient, *args),
    )
    flops = 2 * layer.multiply_adds
    row = np.array([*taken, flops / 1e6, 2 * flops / 1e6])
    for name in (layer.kind, 'all'):
      sums[name] += layer.count * row
  print(f'A product of 1024 x 1024 matrices: {most:.0f} Gflop/s.\n')
  print('| | forward, ms | Gflop/s | backward, ms | Gflop/s |')
  print('|---|--:|--:|--:|--:|')
  total = sums.pop('all')
  kinds = sorted(sums.items(), key=lambda item: -item[1][:2].sum())
  for name, row in [*kinds, ('all', total)]:
    rates = [f'{row[i + 2] / row[i]:.0f}' if row[2] else '' for i in (0, 1)]
    print(f'| {name} | {row[0]:.0f} | {rates[0]} | {row[1]:.0f} | {rates[1]} |')


if __name__ == '__main__':
  app.run(main)

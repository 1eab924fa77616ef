"""Depth-wise convolution by implementation: forward and both gradients.

  python -m benchmarks.depthwise_conv --batch_size=128

Prints milliseconds at the shapes of PaCa-ViT-Tiny (224 x 224 pixels) in
bfloat16, by the grouped convolution, by sums of shifted products, and the
gradients that the CPU gets.
"""

import time

import jax
from absl import app, flags

from perceiver_paca.ops import depthwise_conv

_BATCH_SIZE = flags.DEFINE_integer('batch_size', 8, 'Images.')
_RUNS = 10
# side, channels, kernel: the MLPs' and the clusterings' of three stages
SHAPES = [
  (56, 384, 3),
  (56, 96, 7),
  (28, 768, 3),
  (28, 192, 7),
  (14, 1280, 3),
  (14, 320, 7),
]


def milliseconds(fn, *args) -> float:
  program = jax.jit(fn).lower(*args).compile()
  jax.block_until_ready(program(*args))
  began = time.perf_counter()
  for _ in range(_RUNS):
    out = program(*args)
  jax.block_until_ready(out)
  return (time.perf_counter() - began) / _RUNS * 1000


def main(_) -> None:
  grouped, shifted = (
    depthwise_conv.depthwise_conv_reference,
    depthwise_conv._shifted_sum,
  )
  gradients = {
    'grouped': lambda x, w, g: jax.vjp(grouped, x, w)[1](g),
    'grouped, to x': lambda x, w, g: jax.vjp(lambda x: grouped(x, w), x)[1](g),
    'shifted, to both': lambda x, w, g: jax.vjp(shifted, x, w)[1](g),
    'turned': lambda x, w, g: depthwise_conv._backward_cpu(x, w, g),
  }
  print(
    '| side | channels | kernel | grouped | shifted | gradients: '
    + ' | '.join(gradients)
    + ' |'
  )
  print('|' + '--:|' * (5 + len(gradients)))
  for side, channels, k in SHAPES:
    x, g = (
      jax.random.normal(
        jax.random.key(i), (_BATCH_SIZE.value, side, side, channels), 'bfloat16'
      )
      for i in range(2)
    )
    kernel = jax.random.normal(jax.random.key(2), (k, k, channels), 'bfloat16')
    found = [milliseconds(f, x, kernel) for f in (grouped, shifted)]
    found += [milliseconds(f, x, kernel, g) for f in gradients.values()]
    cells = ' | '.join(f'{ms:.2f}' for ms in found)
    print(f'| {side} | {channels} | {k} | {cells} |', flush=True)


if __name__ == '__main__':
  app.run(main)

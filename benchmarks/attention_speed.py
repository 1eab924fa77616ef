"""Milliseconds of attention, forward and with its gradients, by implementation.

  python -m benchmarks.attention_speed

In bfloat16, at the shapes that the published models have on one device: what
`auto` of `perceiver_paca.ops.attention` should choose where.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from perceiver_paca.ops import attention

_RUNS = flags.DEFINE_integer('runs', 20, 'Calls to time.')
_TINY = flags.DEFINE_bool('tiny', False, 'One example each: a rehearsal.')
_ONLY = flags.DEFINE_list('only', [], 'Parts of the names of rows to run.')
# B, N, M, H, D, E; whether keys are masked.
SHAPES = {
  'language model, self': (64, 256, 256, 8, 32, 160, False),
  'language model, encode': (64, 256, 2048, 8, 32, 160, True),
  'language model, decode': (64, 2048, 256, 8, 32, 96, False),
  'ImageNet, self': (64, 512, 512, 8, 128, 128, False),
  'PaCa-Tiny, stage 1': (256, 3136, 100, 2, 48, 48, False),
  'PaCa-Tiny, stage 2': (256, 784, 100, 4, 48, 48, False),
  'PaCa-Tiny, stage 3': (256, 196, 100, 8, 40, 40, False),
}


def milliseconds(fn, *args):
  jax.block_until_ready(fn(*args))
  began = time.perf_counter()
  for _ in range(_RUNS.value):
    out = fn(*args)
  jax.block_until_ready(out)
  return 1000 * (time.perf_counter() - began) / _RUNS.value


def _loss(attend, q, k, v):
  return jnp.sum(jnp.square(attend(q, k, v).astype(jnp.float32)))


def main(argv):
  del argv
  print('| shape | implementation | forward | with gradients |')
  print('|---|---|--:|--:|')
  for name, (b, n, m, h, d, e, masked) in SHAPES.items():
    if _ONLY.value and not any(part in name for part in _ONLY.value):
      continue
    b = 1 if _TINY.value else b
    keys = jax.random.split(jax.random.key(0), 3)
    q, k, v = (
      jax.random.normal(key, shape, jnp.bfloat16)
      for key, shape in zip(
        keys, [(b, n, h, d), (b, m, h, d), (b, m, h, e)], strict=True
      )
    )
    mask = None
    if masked:  # some of the last keys, another number in each example
      mask = jnp.asarray(np.arange(m)[None] < m - np.arange(b)[:, None] % 9)
    for implementation in ('plain', 'cudnn'):
      attend = functools.partial(
        attention.attention, key_mask=mask, implementation=implementation
      )
      gradients = jax.grad(functools.partial(_loss, attend), (0, 1, 2))
      try:
        times = [
          milliseconds(jax.jit(fn), q, k, v) for fn in (attend, gradients)
        ]
        cells = ' | '.join(f'{t:.2f}' for t in times)
      except ValueError as error:  # not for these inputs, or not on this device
        cells = f'{error} |'
      print(f'| {name} | {implementation} | {cells} |', flush=True)


if __name__ == '__main__':
  app.run(main)

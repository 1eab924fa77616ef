"""Memory of cross-attention against the number of inputs, from XLA's analysis.

Prints, for the encoders of ImageNet (Fourier) and of optical flow, the peak of
the attention's temporaries (arguments and results apart) on this platform, in
MiB: chunked and plain, forward alone and with the backward pass. Programs are
compiled, not run. `logits` is what one float32 array of all logits takes.

  python -m benchmarks.attention_memory
"""

import functools

import jax
from absl import app

from perceiver_paca.ops.attention import attention

# name, queries, width of the only head, numbers of inputs
CASES = (
  ('ImageNet, Fourier', 512, 261, (3136, 12544, 25088, 50176)),
  ('optical flow', 2048, 322, (11408, 45632, 91264, 182528)),
)


def temporaries(implementation, n, m, width, backward) -> float:
  """MiB that the compiled program needs beside arguments and results."""
  attend = functools.partial(attention, implementation=implementation)

  def run(q, k, v, d_out):
    if not backward:
      return attend(q, k, v)
    out, pull = jax.vjp(attend, q, k, v)
    return out, pull(d_out)

  args = (
    jax.ShapeDtypeStruct((1, length, 1, width), 'float32')
    for length in (n, m, m, n)
  )
  program = jax.jit(run).lower(*args).compile()
  return program.memory_analysis().temp_size_in_bytes / 2**20


def main(_) -> None:
  for name, n, width, lengths in CASES:
    print(f'{name}: {n:,} queries, one head of {width}; temporaries in MiB')
    print(
      f'{"inputs":>10}{"logits":>10}'
      f'{"chunked":>10}{"+ backward":>12}{"plain":>10}{"+ backward":>12}'
      f'{"of logits":>11}'
    )
    for m in lengths:
      logits = n * m * 4 / 2**20
      found = [
        temporaries(implementation, n, m, width, backward)
        for implementation in ('chunked', 'plain')
        for backward in (False, True)
      ]
      print(
        f'{m:10,}{logits:10.1f}{found[0]:10.1f}{found[1]:12.1f}'
        f'{found[2]:10.1f}{found[3]:12.1f}{found[1] / logits:11.1%}'
      )
    print()


if __name__ == '__main__':
  app.run(main)

"""Speed and memory beside `transformers`' PyTorch Perceiver, in one run.

The forward pass of the published language model (bytes, 201M parameters) on
2,048 bytes at batch 1, float32, on two threads. Both are in this process and
take turns; the times are of single passes, the ratio is of medians. Memory is
the peak of a process of its own for each, what the imports take included.
Prints a Markdown table. Random weights; outputs agree (`make parity`).

  taskset -c 0,1 python -m benchmarks.peers

Needs the extra `parity`.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags

_THREADS = flags.DEFINE_integer('threads', 2, 'Threads of either.')
_PASSES = flags.DEFINE_integer('passes', 9, 'Timed passes of each.')
_ONLY = flags.DEFINE_enum(
  'only', None, ['ours', 'transformers'], 'Print its peak memory in MiB.'
)


def make_ours() -> Callable[[np.ndarray], np.ndarray]:
  """A compiled forward pass: ids [1, 2048] -> logits [1, 2048, 262]."""
  import jax

  from perceiver_io import models

  model = models.masked_language_modelling(
    vocab_size=262,
    max_length=2048,
    token_channels=768,
    num_latents=256,
    latent_channels=1280,
    qk_channels=256,
    num_heads=8,
    num_self_attends=26,
  )
  ids = jax.ShapeDtypeStruct((1, 2048), 'int32')
  shapes = jax.eval_shape(model.init, jax.random.key(0), ids)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(
    lambda x: jax.device_put(
      rng.standard_normal(x.shape, np.float32) * np.float32(0.02)
    ),
    shapes,
  )
  forward = jax.jit(model.apply).lower(variables, ids).compile()
  return lambda x: np.asarray(forward(variables, x))


def make_transformers() -> Callable[[np.ndarray], np.ndarray]:
  """The same of PyTorch, as its users call it."""
  import torch
  import transformers

  torch.set_num_threads(_THREADS.value)
  config = transformers.PerceiverConfig(qk_channels=256, v_channels=1280)
  model = transformers.PerceiverForMaskedLM(config).eval()

  def forward(x):
    with torch.inference_mode():
      ids = torch.from_numpy(x.astype(np.int64))
      return model(inputs=ids).logits.numpy()

  return forward


MAKE = {'ours': make_ours, 'transformers': make_transformers}


def peak_memory(name: str) -> float:
  """MiB that a process of its own takes for it."""
  command = [sys.executable, '-m', 'benchmarks.peers', f'--only={name}']
  command.append(f'--threads={_THREADS.value}')
  out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
  return float(out.stdout.split()[-1])


def limit_threads():
  """XLA takes a thread for every core that the process may use."""
  cores = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, cores[: _THREADS.value])


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  limit_threads()
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  ids = np.random.default_rng(0).integers(6, 262, (1, 2048)).astype(np.int32)
  if _ONLY.value is not None:
    forward = MAKE[_ONLY.value]()
    for _ in range(2):
      forward(ids)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return

  memory = {name: peak_memory(name) for name in MAKE}
  forwards = {name: make() for name, make in MAKE.items()}
  seconds = {name: [] for name in MAKE}
  for i in range(_PASSES.value + 1):
    for name, forward in forwards.items():
      start = time.perf_counter()
      forward(ids)
      if i > 0:  # The first pass warms up.
        seconds[name].append(time.perf_counter() - start)
  median = {name: float(np.median(x)) for name, x in seconds.items()}
  print('| | median s | min s | max s | relative speed | peak MiB |')
  print('|---|---|---|---|---|---|')
  for name, x in seconds.items():
    print(
      f'| {name} | {median[name]:.3f} | {min(x):.3f} | {max(x):.3f} '
      f'| {median["transformers"] / median[name]:.2f} | {memory[name]:.0f} |'
    )


if __name__ == '__main__':
  app.run(main)

"""Cost of attention as its inputs grow: operations, memory, time.

  python -m benchmarks.scaling --output=docs

writes scaling.md, scaling.csv and images/scaling.png there. Measured are, for a
batch of one in float32: the three stages of a small Perceiver IO over inputs M
and queries O; a narrow ViT block over patches N, with attention that is full,
from patches to clusters, or one of `baselines.attention`; and DeiT-small at
224 x 224, one class with each attention.

Multiply-adds are counted in the traced program, temporaries (what is in memory
beside arguments and results, at its peak) by XLA for the compiled one: both at
every size. The time is the least of several runs, at the sizes that --max_gib
and --max_gmacs allow.
"""

import functools
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from absl import app, flags

from baselines import attention as other_attentions
from baselines import vit
from benchmarks import scaling_report
from paca_vit.attention import PacaSelfAttention
from paca_vit.clustering import ConvClustering
from perceiver_io.attention import CrossAttention, SelfAttention
from perceiver_paca.ops import attention as attention_ops
from tools.output import OUTPUT
from train_lib import cost

ROUNDS = flags.DEFINE_integer('rounds', 3, 'Rounds of timing over all cases.')
MAX_GIB = flags.DEFINE_float('max_gib', 2, 'Temporaries of what is timed.')
MAX_GMACS = flags.DEFINE_float('max_gmacs', 20, 'Its 10^9 multiply-adds.')

# The small Perceiver IO: as many channels everywhere.
NUM_LATENTS, NUM_LAYERS = 256, 8
CHANNELS = 64
INPUTS = tuple(1024 * 4**i for i in range(6))  # and queries
# The narrow ViT block.
BLOCK_CHANNELS, BLOCK_HEADS = 96, 3
SIDES = (14, 32, 48, 64, 96, 128, 192, 256)  # of a square of patches
RANK = 64  # of Linformer, and the number of Performer's features


class Case(NamedTuple):
  """What is measured: fn(*args), of which args[0] are a module's variables."""

  fn: Callable[..., Any]
  args: tuple[Any, ...]  # of shapes

  def multiply_adds(self) -> int:
    return cost.multiply_adds(self.fn, *self.args)


def case_of(module: nn.Module, *shapes: Sequence[int]) -> Case:
  """A module's application to arrays [1, *shape] of each shape."""
  inputs = [jax.ShapeDtypeStruct((1, *shape), 'float32') for shape in shapes]
  variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  return Case(module.apply, (variables, *inputs))


class Curve(NamedTuple):
  """Attributes:
  letter: what the size is called.
  complexity: of its products, as the papers have it.
  sizes: ascending.
  make: size -> case.
  """

  letter: str
  complexity: str
  sizes: Sequence[int]
  make: Callable[[int], Case]


def encode(num_inputs: int, **options) -> Case:
  return case_of(
    CrossAttention(num_heads=1, **options),
    (NUM_LATENTS, CHANNELS),
    (num_inputs, CHANNELS),
  )


def process() -> Case:
  layers = [SelfAttention(num_heads=8) for _ in range(NUM_LAYERS)]
  return case_of(nn.Sequential(layers), (NUM_LATENTS, CHANNELS))


def decode(num_queries: int, **options) -> Case:
  return case_of(
    CrossAttention(num_heads=1, use_query_residual=False, **options),
    (num_queries, CHANNELS),
    (NUM_LATENTS, CHANNELS),
  )


# Every product of the paper and all logits in memory, and what is done with
# many inputs unless one says otherwise.
PLAIN = dict(implementation='plain', fold_projections=False)
CHUNKED = dict(implementation='chunked')
PERCEIVER = {
  f'{stage.__name__}, {kind}': Curve(
    letter, f'{letter} N C', INPUTS, functools.partial(stage, **options)
  )
  for stage, letter in ((encode, 'M'), (decode, 'O'))
  for kind, options in (('all logits', PLAIN), ('chunked', CHUNKED))
}


class Place(NamedTuple):
  """Where an attention is put: `side` is of a square of patches."""

  channels: int
  num_heads: int
  side: int

  def attention(self, attend: Callable[..., Any], **options) -> nn.Module:
    return vit.SelfAttention(
      self.num_heads, functools.partial(attend, **options)
    )

  def paca(self, num_clusters: int) -> nn.Module:
    make = functools.partial(ConvClustering, num_clusters=num_clusters)
    return PacaSelfAttention(self.num_heads, make, (self.side, self.side))

  def performer(self) -> nn.Module:
    features = other_attentions.orthogonal_features(
      jax.random.key(0), RANK, self.channels // self.num_heads
    )
    return self.attention(other_attentions.performer, features=features)


def radius(num_patches: int) -> int:
  """The widest window that fits, up to 64 on either side."""
  return max(r for r in range(1, 65) if num_patches % r == 0)


class Attention(NamedTuple):
  """Attributes:
  complexity: of its products, as its paper has it.
  make: place -> module.
  interactions: N -> pairs of a query and a key; None if it has none.
  """

  complexity: str
  make: Callable[[Place], nn.Module]
  interactions: Callable[[int], int] | None = None


_full = attention_ops.attention
ATTENTIONS = {
  'full, all logits': Attention(
    'N² C',
    lambda place: place.attention(_full, implementation='plain'),
    lambda n: n * n,
  ),
  'full, chunked': Attention(
    'N² C',
    lambda place: place.attention(_full, implementation='chunked'),
    lambda n: n * n,
  ),
  'PaCa, 64 clusters': Attention(
    'N M C', lambda place: place.paca(64), lambda n: n * 64
  ),
  'PaCa, 100 clusters': Attention(
    'N M C', lambda place: place.paca(100), lambda n: n * 100
  ),
  'local window': Attention(
    'N W C',
    lambda place: place.attention(
      other_attentions.local_window, radius=radius(place.side**2)
    ),
    lambda n: n * (2 * radius(n) + 1),
  ),
  'Linformer': Attention(
    'N R C',
    lambda place: vit.SelfAttention(place.num_heads, vit.Linformer(RANK)),
    lambda n: n * RANK,
  ),
  'Performer': Attention('N R C', Place.performer),
  'linear': Attention(
    'N C D', lambda place: place.attention(other_attentions.linear)
  ),
}


def block(num_patches: int, attention: Attention) -> Case:
  place = Place(BLOCK_CHANNELS, BLOCK_HEADS, math.isqrt(num_patches))
  return case_of(
    vit.Block(attention.make(place)), (num_patches, BLOCK_CHANNELS)
  )


def classifier(attention: Attention) -> Case:
  """DeiT-small, but without a class token: 196 tokens."""
  model = vit.ViT(class_token=False)
  place = Place(model.channels, model.attention.num_heads, 14)
  model = vit.ViT(attention.make(place), class_token=False)
  return case_of(model, (224, 224, 3))


BLOCKS = {
  name: Curve(
    'N',
    attention.complexity,
    [side**2 for side in SIDES],
    functools.partial(block, attention=attention),
  )
  for name, attention in ATTENTIONS.items()
}


def all_cases() -> dict[tuple[str, str, int], Case]:
  """By part, name and size."""
  cases = {('Perceiver IO', 'process', NUM_LATENTS): process()}
  for part, curves in (('Perceiver IO', PERCEIVER), ('ViT block', BLOCKS)):
    for name, curve in curves.items():
      for size in curve.sizes:
        cases[part, name, size] = curve.make(size)
  for name, attention in ATTENTIONS.items():
    cases['DeiT-small', name, 196] = classifier(attention)
  return cases


def least_seconds(program: jax.stages.Compiled, case: Case) -> float:
  """The least time of the runs that fit into a tenth of a second, or of one."""
  rng = np.random.default_rng(0)

  def random(x):
    return jax.device_put(0.1 * rng.standard_normal(x.shape, np.float32))

  args = jax.block_until_ready(jax.tree.map(random, case.args))
  times = []
  while sum(times) < 0.1:
    began = time.perf_counter()
    jax.block_until_ready(program(*args))
    times.append(time.perf_counter() - began)
  return min(times)


def measure(cases: dict[tuple[str, str, int], Case]) -> list[dict[str, Any]]:
  """A row a case; `seconds` is None for what was not timed."""
  rows, timed = [], []
  for (part, name, size), case in cases.items():
    program = jax.jit(case.fn).lower(*case.args).compile()
    row = {
      'part': part,
      'name': name,
      'size': size,
      'parameters': cost.num_params(case.args[0]),
      'multiply_adds': case.multiply_adds(),
      'temporary_bytes': program.memory_analysis().temp_size_in_bytes,
      'seconds': None,
    }
    rows.append(row)
    affordable = (
      row['temporary_bytes'] <= MAX_GIB.value * 2**30
      and row['multiply_adds'] <= MAX_GMACS.value * 1e9
    )
    if affordable:
      timed.append((row, program, case))
    print(f'compiled: {part}, {name}, {size:,}', flush=True)
  for i in range(ROUNDS.value):  # What disturbs one round may spare another.
    for row, program, case in timed:
      seconds = least_seconds(program, case)
      row['seconds'] = min(seconds, row['seconds'] or seconds)
    print(f'timed: round {i + 1} of {ROUNDS.value}', flush=True)
  return rows


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  load = os.getloadavg()[0]
  rows = measure(all_cases())
  surroundings = (
    f'{jax.default_backend().upper()}, {os.cpu_count()} cores, load average '
    f'{load:.1f} before and {os.getloadavg()[0]:.1f} after'
  )
  folder = pathlib.Path(OUTPUT.value)
  scaling_report.write(
    folder, rows, PERCEIVER, BLOCKS, ATTENTIONS, surroundings
  )


if __name__ == '__main__':
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  flags.mark_flag_as_required('output')
  app.run(main)

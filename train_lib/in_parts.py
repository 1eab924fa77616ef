"""Batches that a CPU takes some examples at a time: faster, in less memory.

What a layer leaves of a whole batch may be larger than the processor's caches;
of a few examples it is not. docs/speed.md has what that gains.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from train_lib import cost, sharding

PyTree = Any

# Bytes of a batch's largest product, for each of the processor's cores, up to
# which all of the batch is computed at once.
_AT_ONCE = 2**24
# Likewise of a part of a larger batch.
_PART = 2**21


class InParts:
  """fn(variables, batch), jitted, of some examples after the others.

  On several devices, or on others than a CPU, a batch is one part.
  """

  def __init__(self, mesh: Mesh, fn: Callable[[PyTree, PyTree], PyTree]):
    """`fn` maps variables and a batch [B, ...], and sees whole examples."""
    self._fn = sharding.jit_on_batches(mesh, fn)
    self._is_whole = mesh.size > 1 or mesh.devices.flat[0].platform != 'cpu'
    self._steps = {}  # by the shapes of batches
    self.eval_shape = self._fn.eval_shape

  def __call__(
    self, variables: PyTree, batch: PyTree, num_present: int | None = None
  ) -> Iterator[PyTree]:
    """Yields what `fn` returns of each part, in order.

    Args:
      variables: of the model.
      batch: [B, ...].
      num_present: parts that begin after so many examples are left out; None
        for none.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    step = self._step(variables, batch, size)
    if step == size:
      yield self._fn(variables, batch)
      return
    batch = jax.tree.map(np.asarray, batch)
    for start in range(0, num_present or size, step):
      part = jax.tree.map(lambda x, at=start: x[at : at + step], batch)
      yield self._fn(variables, part)

  def _step(self, variables, batch, size) -> int:
    if self._is_whole:
      return size
    shapes = tuple(x.shape for x in jax.tree.leaves(batch))
    if shapes not in self._steps:
      num_bytes = cost.largest_product(self._fn, variables, batch)
      self._steps[shapes] = part_size(size, num_bytes, _num_cores())
    return self._steps[shapes]


def joined(parts: Iterable[PyTree]) -> PyTree:
  """Arrays [B, ...] of parts, on the host and end to end."""
  parts = [jax.device_get(part) for part in parts]
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def part_size(size: int, num_bytes: int, num_cores: int) -> int:
  """How many examples at a time: a divisor of `size`.

  Args:
    size: of the batch.
    num_bytes: of the largest product of the whole batch.
    num_cores: of the processor, for each of which there is an example at least.
  """
  if num_bytes <= _AT_ONCE * num_cores:
    return size
  fitting = num_cores * max(1, _PART * size // num_bytes)
  return max(n for n in range(1, min(size, fitting) + 1) if size % n == 0)


def _num_cores() -> int:
  if hasattr(os, 'sched_getaffinity'):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1

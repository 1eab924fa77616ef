"""How examples become batches, and how these lie on the mesh: whose rows, what
shapes, which shardings."""

import sys
from collections.abc import Sequence
from typing import Any

import grain
import jax
import numpy as np

from train_lib import grouping
from train_lib import sharding as sharding_lib

PyTree = Any


def local_rows(
  sharding: jax.sharding.NamedSharding, batch_size: int
) -> list[int]:
  """The rows of a global batch that this process's devices hold, ascending.

  With one batch axis over P processes those are B / P consecutive rows;
  processes that only share model axes load the same rows.

  Raises:
    ValueError: if the batch does not divide evenly.
  """
  num_devices = sharding.mesh.size
  num_shards = num_devices // sharding.shard_shape((num_devices,))[0]
  if batch_size < 1 or batch_size % num_shards:
    raise ValueError(
      f'config.data.batch_size: expected a multiple of {num_shards}, into '
      f'which the mesh {dict(sharding.mesh.shape)} splits the batch, found '
      f'{batch_size}.'
    )
  slices = sharding.addressable_devices_indices_map((batch_size,)).values()
  return sorted(
    {row for (rows,) in slices for row in range(*rows.indices(batch_size))}
  )


def batch_spec(
  example: PyTree,
  batch_size: int = 1,
  sharding: jax.sharding.NamedSharding | None = None,
) -> PyTree:
  """Shapes and types of a batch of examples like this one, and its shardings.

  Args:
    example: numpy arrays.
    batch_size: of the batch.
    sharding: of its leading dimension; None to leave the layout open.

  Raises:
    ValueError: the example has a `mask` already.
  """
  if 'mask' in example:
    raise ValueError(
      "preprocess: the key 'mask' is the pipeline's own; found it in an "
      f'example with keys {sorted(example)}.'
    )

  def spec(x):
    dtype = jax.dtypes.canonicalize_dtype(x.dtype)
    shape = batch_size, *x.shape
    layout = sharding and sharding_lib.leaf_sharding(sharding, shape)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=layout)

  return jax.tree.map(spec, {**example, 'mask': np.float32(1)})


def to_global(
  sharding: jax.sharding.NamedSharding, batch_size: int, local: PyTree
) -> PyTree:
  """Lays this process's rows, numpy arrays [b, ...], on the mesh: [B, ...]."""

  def make(x):
    shape = (batch_size, *x.shape[1:])
    return jax.make_array_from_process_local_data(
      sharding_lib.leaf_sharding(sharding, shape), x, shape
    )

  return jax.tree.map(make, local)


def train_batches(
  examples: grain.MapDataset,
  batch_size: int,
  rows: Sequence[int],
  groups: grain.MapDataset | None = None,
) -> grain.MapDataset:
  """This process's rows of each global batch, ascending, as numpy arrays.

  Args:
    examples: the endless stream.
    batch_size: of a global batch.
    rows: this process's.
    groups: of the same stream's examples, if a batch holds those of one only.
  """
  indices = grain.MapDataset.range(sys.maxsize // batch_size)
  if groups is None:
    return indices.map(
      lambda i: collate([examples[i * batch_size + row] for row in rows])
    )
  places = grouping.Grouping(groups, batch_size)
  return indices.map(
    lambda i: collate([examples[places[i][row]] for row in rows])
  )


def eval_batches(
  examples: grain.MapDataset, batch_size: int, rows: Sequence[int]
) -> grain.MapDataset:
  """The same for one pass; zeros stand for rows beyond the last example."""
  padding = jax.tree.map(np.zeros_like, examples[0])

  def batch(i):
    positions = [i * batch_size + row for row in rows]
    present = [examples[p] for p in positions if p < len(examples)]
    return collate(present, [padding] * (len(rows) - len(present)))

  return grain.MapDataset.range(-(-len(examples) // batch_size)).map(batch)


def collate(examples: Sequence[PyTree], padding=()) -> PyTree:
  """A batch of numpy arrays; `mask` is 1 for examples and 0 for padding."""
  batch = jax.tree.map(lambda *xs: np.stack(xs), *examples, *padding)
  mask = np.repeat(np.float32([1, 0]), [len(examples), len(padding)])
  return {**batch, 'mask': mask}

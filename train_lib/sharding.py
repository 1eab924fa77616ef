"""Meshes and shardings by rule: the models contain no sharding words.

A rule is (regular expression, layout); the first whose expression is found in
a leaf's path, such as `params/stage1/block0/attn/q/kernel`, decides. A layout
is 'fsdp' (the largest dimension that divides goes over the axis of that name)
or one mesh axis, or None, for each leading dimension; () replicates.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

PyTree = Any
Rules = Sequence[tuple[str, str | Sequence[str | None]]]

# The axes over which a batch is split, as far as the mesh has them.
BATCH_AXES = ('data', 'fsdp')
# Smaller arrays stay whole: gathering them costs more than they weigh.
MIN_FSDP_SIZE = 2**14


def make_mesh(axes: Mapping[str, int]) -> Mesh:
  """Returns a mesh over all devices of all processes.

  Args:
    axes: name -> size, the slowest varying first; one size may be -1: what is
      left.

  Raises:
    ValueError: the sizes do not multiply to the number of devices.
  """
  sizes, num_devices = dict(axes), jax.device_count()
  free = [name for name, size in sizes.items() if size == -1]
  if len(free) > 1 or any(s < 1 and s != -1 for s in sizes.values()):
    raise ValueError(
      f'config.mesh: found {sizes}; expected positive sizes, at most one -1.'
    )
  fixed = math.prod(size for size in sizes.values() if size != -1)
  if free and num_devices % fixed == 0:
    sizes[free[0]] = num_devices // fixed
  if math.prod(sizes.values()) != num_devices:
    raise ValueError(
      f'config.mesh: {dict(axes)} does not fit {num_devices} device(s); the '
      'sizes must multiply to that number, -1 stands for what is left.'
    )
  return jax.make_mesh(
    tuple(sizes.values()),
    tuple(sizes),
    # The default, Explicit, makes an embedding look-up raise.
    axis_types=(AxisType.Auto,) * len(sizes),
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Splits the leading dimension, examples, over the mesh's batch axes."""
  axes = tuple(a for a in BATCH_AXES if a in mesh.axis_names)
  return NamedSharding(mesh, P(axes))


def num_shards(sharding: NamedSharding) -> int:
  """Into how many parts a leading dimension is split."""
  num_devices = sharding.mesh.size
  return num_devices // sharding.shard_shape((num_devices,))[0]


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, P())


def path_name(path: tuple) -> str:
  """`params/stage1/block0/attn/q/kernel`, the name that rules look at."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def make_shardings(tree: PyTree, mesh: Mesh, rules: Rules) -> PyTree:
  """Returns a NamedSharding for each leaf of a tree of arrays or shapes.

  Raises:
    ValueError: a leaf without a rule, an axis that the mesh lacks, or a
      dimension that its axis does not divide.
  """
  unmatched = []

  def leaf_sharding(path, leaf):
    name = path_name(path)
    for pattern, layout in rules:
      if re.search(pattern, name):
        return NamedSharding(mesh, _spec(name, leaf.shape, layout, mesh))
    unmatched.append(name)

  shardings = jax.tree_util.tree_map_with_path(leaf_sharding, tree)
  if unmatched:
    raise ValueError(
      f'config.sharding: no rule for {unmatched}; the last rule is usually '
      "('.*', 'fsdp')."
    )
  return shardings


def _spec(name, shape, layout, mesh: Mesh) -> P:
  axes = _fsdp_axes(shape, mesh) if layout == 'fsdp' else tuple(layout)
  for axis in axes:
    if axis is not None and axis not in mesh.axis_names:
      raise ValueError(
        f'config.sharding: the rule for {name!r} names the axis {axis!r}; '
        f'config.mesh has {mesh.axis_names}.'
      )
  if len(axes) > len(shape):
    raise ValueError(
      f'config.sharding: the rule for {name!r} has {len(axes)} dimensions, '
      f'the array has {shape}.'
    )
  for dim, axis in zip(shape, axes, strict=False):
    if axis is not None and dim % mesh.shape[axis]:
      raise ValueError(
        f'config.sharding: {name!r} of shape {shape} cannot be split over '
        f'{axis!r}: {dim} is not divisible by {mesh.shape[axis]}.'
      )
  return P(*axes)


def _fsdp_axes(shape, mesh: Mesh) -> tuple[str | None, ...]:
  if 'fsdp' not in mesh.axis_names:
    raise ValueError(
      "config.sharding: the layout 'fsdp' needs an axis of that name; "
      f'config.mesh has {mesh.axis_names}.'
    )
  size = mesh.shape['fsdp']
  divisible = [i for i, dim in enumerate(shape) if dim % size == 0]
  if size == 1 or np.prod(shape) < MIN_FSDP_SIZE or not divisible:
    return ()
  largest = max(divisible, key=lambda i: shape[i])
  return (None,) * largest + ('fsdp',)

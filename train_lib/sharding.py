"""Meshes and shardings by rule; of meshes, models say three words and no axis.

The words are `whole_examples` around convolutions, `examples_apart` in the
Perceiver's MLPs and `whole` at its table of tokens, where XLA must be told;
attention splits itself. `perceiver_paca.ops.mesh` has the words, the names of
the axes, and what goes over which.

A rule is (regular expression, layout, ...); the first whose expression is found
in a leaf's path, such as `params/stage1/block0/attn/q/kernel`, decides. A
layout is one mesh axis, or None, for each leading dimension, or 'fsdp': of the
dimensions that are left, the largest that divides goes over the axis of that
name. Several layouts are applied one after the other; () replicates. Of stacked
layers the rule is that of a single one.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from perceiver_paca.ops.mesh import BATCH_AXES, FSDP, INPUTS
from train_lib import stacking

PyTree = Any
Layout = str | Sequence[str | None]
Rules = Sequence[tuple[str, *tuple[Layout, ...]]]

# Smaller arrays stay whole: gathering them costs more than they weigh.
MIN_FSDP_SIZE = 2**14


def make_mesh(
  axes: Mapping[str, int], devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """Returns a mesh over all devices of all processes.

  Args:
    axes: name -> size, the slowest varying first; one size may be -1: what is
      left.
    devices: other devices than these.

  Raises:
    ValueError: the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  sizes, num_devices = dict(axes), len(devices)
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
  return Mesh(
    arrange(devices, sizes),
    tuple(sizes),
    # Under Explicit axes an embedding look-up raises.
    axis_types=(AxisType.Auto,) * len(sizes),
  )


def arrange(
  devices: Sequence[jax.Device], sizes: Mapping[str, int]
) -> np.ndarray:
  """The devices by position, neighbours of fast axes near each other.

  Several slices of TPUs, or islands of GPUs, are connected slowly: the first
  axis that can be goes over them, which is 'data' if it can be.

  Raises:
    ValueError: no axis is a multiple of the number of slices.
  """
  shape = list(sizes.values())
  num_slices = len({getattr(d, 'slice_index', 0) for d in devices})
  if num_slices == 1:
    return mesh_utils.create_device_mesh(
      shape, devices, allow_split_physical_axes=True
    )
  for i, size in enumerate(shape):
    if size % num_slices == 0:
      between = [1] * len(shape)
      between[i], shape[i] = num_slices, size // num_slices
      return mesh_utils.create_hybrid_device_mesh(
        shape, between, devices, allow_split_physical_axes=True
      )
  raise ValueError(
    f'config.mesh: none of {dict(sizes)} is a multiple of the {num_slices} '
    'slices that the devices are in.'
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Splits the leading dimension, examples, over the mesh's batch axes."""
  axes = tuple(a for a in BATCH_AXES if a in mesh.axis_names)
  return NamedSharding(mesh, P(axes))


def leaf_sharding(
  sharding: NamedSharding, shape: Sequence[int]
) -> NamedSharding:
  """How an array of a batch lies on the mesh.

  The first dimension of an example goes over the axis 'inputs', where there is
  one that divides it: rows of an image, samples of a sound, tokens of a text.

  Args:
    sharding: of the leading dimension, `batch_sharding`'s.
    shape: of the array, examples first.
  """
  mesh = sharding.mesh
  size = dict(mesh.shape).get(INPUTS, 1)
  if size == 1 or len(shape) < 2 or shape[1] % size:
    return sharding
  return NamedSharding(mesh, P(*sharding.spec, INPUTS))


def on_mesh(mesh: Mesh, fn: Callable) -> Callable:
  """`fn`, whose attention is split over `mesh` when it is jitted and called."""

  @functools.wraps(fn)
  def traced(*args):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return fn(*args)

  return traced


def jit_on_batches(mesh: Mesh, fn: Callable) -> Callable:
  """Jits fn(variables, batch) for batches laid out on the mesh, `on_mesh`.

  Every device gets the whole result.
  """
  return jax.jit(on_mesh(mesh, fn), out_shardings=replicated(mesh))


def jit_everywhere(mesh: Mesh, fn: Callable) -> Callable:
  """Jits fn(variables, batch) for a few examples that are on the host.

  They are too few for many devices: all compute the same. Every process gets
  the result, as numpy arrays.
  """
  jitted = jit_on_batches(mesh, fn)

  def call(variables, batch):
    batch = jax.device_put(batch, replicated(mesh))
    return jax.device_get(jitted(variables, batch))

  call.eval_shape = jitted.eval_shape
  return call


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
    is_stacked = stacking.is_stacked(name)
    for pattern, *layouts in rules:
      if re.search(pattern, stacking.layer_name(name)):
        shape = leaf.shape[1:] if is_stacked else leaf.shape
        spec = _spec(name, shape, layouts, mesh)
        spec = P(None, *spec) if is_stacked and len(spec) else spec
        return NamedSharding(mesh, spec)
    unmatched.append(name)

  shardings = jax.tree_util.tree_map_with_path(leaf_sharding, tree)
  if unmatched:
    raise ValueError(
      f'config.sharding: no rule for {unmatched}; the last rule is usually '
      "('.*', 'fsdp')."
    )
  return shardings


def _spec(name, shape, layouts: Sequence[Layout], mesh: Mesh) -> P:
  axes = [None] * len(shape)
  for layout in layouts:
    if layout == FSDP:
      layout = _fsdp_axes(shape, axes, mesh)
    if len(layout) > len(shape):
      raise ValueError(
        f'config.sharding: the rule for {name!r} has {len(layout)} dimensions, '
        f'the array has {shape}.'
      )
    for i, axis in enumerate(layout):
      if axis is None:
        continue
      if axis not in mesh.axis_names:
        raise ValueError(
          f'config.sharding: the rule for {name!r} names the axis {axis!r}; '
          f'config.mesh has {mesh.axis_names}.'
        )
      if shape[i] % mesh.shape[axis]:
        raise ValueError(
          f'config.sharding: {name!r} of shape {shape} cannot be split over '
          f'{axis!r}: {shape[i]} is not divisible by {mesh.shape[axis]}.'
        )
      if mesh.shape[axis] > 1:
        axes[i] = axis
  while axes and axes[-1] is None:
    axes.pop()
  return P(*axes)


def _fsdp_axes(shape, taken, mesh: Mesh) -> tuple[str | None, ...]:
  if FSDP not in mesh.axis_names:
    raise ValueError(
      "config.sharding: the layout 'fsdp' needs an axis of that name; "
      f'config.mesh has {mesh.axis_names}.'
    )
  size = mesh.shape[FSDP]
  divisible = [
    i for i, dim in enumerate(shape) if dim % size == 0 and taken[i] is None
  ]
  if size == 1 or np.prod(shape) < MIN_FSDP_SIZE or not divisible:
    return ()
  largest = max(divisible, key=lambda i: shape[i])
  return (None,) * largest + (FSDP,)

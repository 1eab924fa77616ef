"""The words of meshes: names of axes, and how arrays lie on the ambient mesh.

What goes over an axis:

  data    examples
  fsdp    examples, and the state as rules say
  tensor  heads and MLP widths, as rules say
  inputs  the inputs, queries or patches of one example: see
          `partitioned_attention`

Letters: B batch.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

PyTree = Any

DATA, FSDP, TENSOR, INPUTS = 'data', 'fsdp', 'tensor', 'inputs'
# The axes over which a batch is split, as far as a mesh has them.
BATCH_AXES = (DATA, FSDP)


def axes() -> dict[str, int]:
  """Sizes of the ambient mesh's axes that are not manual yet."""
  mesh = jax.sharding.get_abstract_mesh()
  return {
    name: size
    for (name, size), kind in zip(
      mesh.shape.items(), mesh.axis_types, strict=True
    )
    if kind != AxisType.Manual
  }


def is_split() -> bool:
  """Whether there is an ambient mesh to split work over."""
  return any(size > 1 for size in axes().values())


def platform() -> str:
  """What the program is made for: the ambient mesh's devices, or the default.

  They differ where a TPU's program is compiled on a machine that has none.
  """
  device = jax.sharding.get_abstract_mesh().abstract_device
  return device.platform if device else jax.default_backend()


def is_local() -> bool:
  """Whether what is traced runs on one device, kernels of its own included."""
  mesh = jax.sharding.get_abstract_mesh()
  return jax.device_count() == 1 or bool(mesh.axis_names and not axes())


def whole_examples(x: jax.Array) -> jax.Array:
  """x [B, ...], of which no example is split; its gradient neither.

  For what goes into a dense convolution and comes out of it: where rows of
  images are split over one axis and repeated over another, XLA (of jax 0.10.2)
  multiplies the kernel's gradient by the size of the latter.
  """
  sizes = axes()
  if sizes.get(INPUTS, 1) == 1 or sizes.get(TENSOR, 1) == 1:
    return x
  return lax.with_sharding_constraint(x, P(batch_axes(x)))


def examples_apart(x: jax.Array) -> jax.Array:
  """x [B, ...], of which every device has its own examples; its gradient too.

  For what is hidden between two products. Where parameters are split over the
  axis that examples are split over, XLA (of jax 0.10.2) may split it as the
  parameters are, and gather all examples for their gradient.
  """
  batch = batch_axes(x)
  if batch is None or axes().get(FSDP, 1) == 1:
    return x
  spec = P(batch, *[P.UNCONSTRAINED] * (x.ndim - 1))
  return lax.with_sharding_constraint(x, spec)


def whole(x: jax.Array) -> jax.Array:
  """x, of which every device has all; its gradient, too, before it is split.

  For a table of which examples look up rows: split between channels, XLA would
  gather what all examples have for its gradient.
  """
  if axes().get(FSDP, 1) == 1:
    return x
  return lax.with_sharding_constraint(x, P())


def over_examples(fn: Callable[..., PyTree], *args: PyTree) -> PyTree:
  """fn(*args), on every device of its own examples.

  For loops and gathers within examples, which XLA cannot tell from ones between
  them. It is not to be differentiated, as `partitioned_attention` says why.

  Args:
    fn: maps arrays [B, ...] to arrays [B, ...].
    *args: trees of arrays [B, ...].
  """
  batch = batch_axes(jax.tree.leaves(args)[0]) if is_split() else None
  if batch is None:
    return fn(*args)
  return jax.shard_map(
    fn, in_specs=P(batch), out_specs=P(batch), check_vma=False
  )(*args)


def batch_axes(x: jax.Array) -> tuple[str, ...] | None:
  """Axes over which examples [B, ...] are split; None if they do not divide."""
  sizes = axes()
  batch = tuple(name for name in sizes if name not in (INPUTS, TENSOR))
  num_shards = math.prod(sizes[name] for name in batch)
  return batch if x.shape[0] % num_shards == 0 else None

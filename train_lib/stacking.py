"""Equal layers as one: their arrays stacked, for a loop over them.

A module `stacked_layer`, whose arrays have a leading dimension for L layers,
holds what the modules `layer_0`, ..., `layer_{L-1}` hold one by one. Rules for
names (of sharding, of decay) are made for single layers, and a checkpoint of
either kind is read as the other.
"""

import collections
import re
from collections.abc import Collection, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

PyTree = Any

_STACKED = re.compile(r'(^|/)stacked_(\w+)(?=/)')
_SINGLE = re.compile(r'(^|/)(\w+)_(\d+)(?=/)')


def is_stacked(name: str) -> bool:
  """Whether a path, such as `params/stacked_layer/bias`, is of a stack."""
  return bool(_STACKED.search(name))


def layer_name(name: str, layer: int = 0) -> str:
  """`params/layer_0/bias` of `params/stacked_layer/bias`; others as is."""
  return _STACKED.sub(rf'\1\2_{layer}', name)


def unstacked(tree: PyTree) -> PyTree:
  """Nested dictionaries of arrays with every stack replaced by its layers."""
  result = {}
  for name, x in flax.traverse_util.flatten_dict(tree, sep='/').items():
    layers = range(len(x)) if is_stacked(name) else [None]
    for i in layers:
      result[layer_name(name, i)] = x if i is None else x[i]
  return flax.traverse_util.unflatten_dict(result, sep='/')


def as_stored(
  wanted: Mapping[str, jax.ShapeDtypeStruct], stored: Mapping[str, Any]
) -> dict[str, jax.ShapeDtypeStruct]:
  """What to read of a checkpoint, under its names, to get what is wanted.

  Args:
    wanted: path -> shape, type and sharding.
    stored: path -> anything with a shape.
  """
  stacks = {
    name: _stack_of(name, stored) for name in wanted.keys() - stored.keys()
  }
  num_layers = collections.Counter(s[0] for s in stacks.values() if s)
  result = {}
  for name, x in wanted.items():
    if name not in stored and layer_name(name) in stored:
      for i in range(x.shape[0]):
        result[layer_name(name, i)] = _array(
          x, x.shape[1:], lambda spec: P(*spec[1:])
        )
    elif stacks.get(name):
      stack = stacks[name][0]
      shape = (num_layers[stack], *x.shape)
      result[stack] = _array(x, shape, lambda spec: P(None, *spec))
    else:
      result[name] = x
  return result


def as_wanted(
  arrays: Mapping[str, jax.Array], wanted: Mapping[str, jax.ShapeDtypeStruct]
) -> dict[str, jax.Array]:
  """What was read as `as_stored` says, stacked and laid out as is wanted."""

  def convert(arrays):
    result = {}
    for name, x in wanted.items():
      if name in arrays:
        result[name] = arrays[name]
      elif is_stacked(name):
        layers = [arrays[layer_name(name, i)] for i in range(x.shape[0])]
        result[name] = jnp.stack(layers)
      else:
        stack, layer = _stack_of(name, arrays)
        result[name] = arrays[stack][layer]
    return result

  shardings = {name: x.sharding for name, x in wanted.items()}
  return jax.jit(convert, out_shardings=shardings)(arrays)


def _stack_of(name: str, stored: Collection[str]) -> tuple[str, int] | None:
  """The stack in `stored` that a layer's array is in, and where."""
  for found in _SINGLE.finditer(name):
    stack = f'{found[1]}stacked_{found[2]}'
    stack = name[: found.start()] + stack + name[found.end() :]
    if stack in stored:
      return stack, int(found[3])
  return None


def _array(like, shape, spec_of) -> jax.ShapeDtypeStruct:
  layout = like.sharding
  if isinstance(layout, NamedSharding):
    layout = NamedSharding(layout.mesh, spec_of(layout.spec))
  return jax.ShapeDtypeStruct(shape, like.dtype, sharding=layout)

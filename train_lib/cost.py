"""What a model costs: parameters, multiply-adds and bytes, counted, not
estimated."""

import math
from collections.abc import Callable, Collection
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

PyTree = Any
_UNCOUNTED = (
  *('resize_bilinear', 'adaptive_average_pool', 'roi_align'),
  'mask_targets',
)


def num_params(params: PyTree) -> int:
  """The number of elements of a tree of arrays or ShapeDtypeStructs."""
  return sum(math.prod(x.shape) for x in jax.tree.leaves(params))


def multiply_adds(
  fn: Callable[..., Any],
  *args: PyTree,
  uncounted: Collection[str] = _UNCOUNTED,
) -> int:
  """Counts the multiply-adds of all convolutions and matrix products in `fn`.

  Nothing is computed: `fn` is traced. Products with padding count, as is
  usual; elementwise work, norms and softmaxes do not. Of the branches of a
  `cond` the most costly one counts, and so where platforms get different
  implementations the one that is written as a product. What is the same on
  several devices of a mesh counts once for each.

  Args:
    fn: function of `args`.
    *args: arrays or ShapeDtypeStructs.
    uncounted: names of jitted functions inside `fn` that do not count:
      interpolation may be written as products, but is none of the model's.

  Raises:
    ValueError: if a loop of unknown length contains products.
  """
  return _count(jax.make_jaxpr(fn)(*args).jaxpr, uncounted)


def largest_product(fn: Callable[..., Any], *args: PyTree) -> int:
  """Bytes of the largest result of a convolution or matrix product in `fn`.

  Args:
    fn: function of `args`.
    *args: arrays or ShapeDtypeStructs.
  """
  return _largest(jax.make_jaxpr(fn)(*args).jaxpr)


def init_and_multiply_adds(
  init: Callable[..., tuple[PyTree, PyTree]], *args: PyTree
) -> tuple[PyTree, int]:
  """Shapes of a model's variables, and its `multiply_adds`, from one trace.

  Args:
    init: a module's `init_with_output`: of a generator and `args` its outputs
      and variables. What counts are the products that the outputs need.
    *args: arrays or ShapeDtypeStructs.
  """
  make = jax.make_jaxpr(init, return_shape=True)
  made, (outputs, variables) = make(jax.random.key(0), *args)
  num_outputs = len(jax.tree.leaves(outputs))
  needed = [i < num_outputs for i in range(len(made.jaxpr.outvars))]
  jaxpr, _ = partial_eval.dce_jaxpr(made.jaxpr, needed)
  return variables, _count(jaxpr, _UNCOUNTED)


def _count(jaxpr, uncounted):
  total = 0
  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    if params.get('name') in uncounted:
      continue
    inner = [_count(x, uncounted) for x in _inner_jaxprs(params)]
    if name == 'conv_general_dilated':
      out, kernel = eqn.outvars[0].aval.shape, eqn.invars[1].aval.shape
      out_features = kernel[params['dimension_numbers'].rhs_spec[0]]
      total += math.prod(out) * math.prod(kernel) // out_features
    elif name == 'dot_general':
      (contracted, _), _ = params['dimension_numbers']
      lhs = eqn.invars[0].aval.shape
      out = eqn.outvars[0].aval.shape
      total += math.prod(out) * math.prod(lhs[axis] for axis in contracted)
    elif name == 'shard_map':  # shapes inside are those of one device
      axes = params['newly_manual_axes']
      total += math.prod(params['mesh'].shape[x] for x in axes) * sum(inner)
    elif name == 'pallas_call':
      total += math.prod(params['grid_mapping'].grid) * sum(inner)
    elif name == 'cond':
      total += max(inner)
    elif name == 'scan':
      total += params['length'] * sum(inner)
    elif name == 'while' and sum(inner):
      raise ValueError('fn: a while loop of unknown length has products.')
    else:
      total += sum(inner)
  return total


def _largest(jaxpr):
  found = 0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name in ('conv_general_dilated', 'dot_general'):
      out = eqn.outvars[0].aval
      found = max(found, out.size * out.dtype.itemsize)
    found = max(found, *map(_largest, _inner_jaxprs(eqn.params)), 0)
  return found


def _inner_jaxprs(params):
  for value in params.values():
    for x in value if isinstance(value, tuple | list) else (value,):
      if isinstance(x, core.ClosedJaxpr):
        yield x.jaxpr
      elif isinstance(x, core.Jaxpr):
        yield x

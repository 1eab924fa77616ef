"""A function written anew for a converter that knows fewer operations.

The converter to LiteRT (0.5.0) writes no loops, and fails at a product of a
matrix and an array that has dimensions of 1.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

_CALLS = ('jit', 'pjit', 'closed_call', 'checkpoint', 'remat2')
_CUSTOM = ('custom_jvp_call', 'custom_vjp_call')


def rewritten(
  function: Callable[..., Any], *specs: jax.ShapeDtypeStruct
) -> Callable[..., list[jax.Array]]:
  """The function with loops of a fixed length unrolled, products turned round.

  Args:
    function: of arrays, to arrays.
    *specs: shapes and types of the arguments.

  Returns:
    A function of the same arguments, to a list of all leaves.
  """
  closed = jax.make_jaxpr(function)(*specs)
  return lambda *args: _evaluate(closed, args)


def _evaluate(closed, args):
  """The outputs of a `ClosedJaxpr`."""
  jaxpr = closed.jaxpr
  values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
  values |= dict(zip(jaxpr.invars, args, strict=True))

  def read(x):
    return x.val if isinstance(x, core.Literal) else values[x]

  for eqn in jaxpr.eqns:
    inputs, params = [read(x) for x in eqn.invars], eqn.params
    match eqn.primitive.name:
      case 'scan':
        outputs = _unrolled(inputs, params)
      case 'dot_general':
        outputs = [_product(*inputs, params)]
      case name if name in _CALLS:
        outputs = _evaluate(_closed(params['jaxpr']), inputs)
      case name if name in _CUSTOM:
        outputs = _evaluate(_closed(params['call_jaxpr']), inputs)
      case _:
        params = eqn.primitive.get_bind_params(params)
        outputs = eqn.primitive.bind(*inputs, **params)
        if not eqn.primitive.multiple_results:
          outputs = [outputs]
    values |= dict(zip(eqn.outvars, outputs, strict=True))
  return [read(x) for x in jaxpr.outvars]


def _closed(jaxpr):
  return jaxpr if hasattr(jaxpr, 'consts') else core.ClosedJaxpr(jaxpr, ())


def _unrolled(inputs, params):
  """`lax.scan` step by step."""
  num_consts, num_carry = params['num_consts'], params['num_carry']
  consts, inputs = inputs[:num_consts], inputs[num_consts:]
  carry, xs = inputs[:num_carry], inputs[num_carry:]
  steps = range(params['length'])
  rows = []
  for i in reversed(steps) if params['reverse'] else steps:
    slices = [lax.index_in_dim(x, i, keepdims=False) for x in xs]
    outputs = _evaluate(params['jaxpr'], [*consts, *carry, *slices])
    carry = outputs[:num_carry]
    rows.append(outputs[num_carry:])
  if params['reverse']:
    rows.reverse()
  return [*carry, *(jnp.stack(column) for column in zip(*rows, strict=True))]


def _product(left, right, params):
  """`lax.dot_general`; over an inner dimension of an array the matrix first."""
  names = 'precision', 'preferred_element_type'
  options = {name: params[name] for name in names}
  contracted, batch = params['dimension_numbers']
  is_inner = tuple(contracted[0]) != (left.ndim - 1,)
  if batch[0] or right.ndim != 2 or len(contracted[0]) != 1 or not is_inner:
    return lax.dot_general(left, right, (contracted, batch), **options)
  out = lax.dot_general(right, left, (contracted[::-1], batch), **options)
  return jnp.moveaxis(out, 0, -1)

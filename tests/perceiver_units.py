"""Single modules of DeepMind, their weights, inputs and outputs."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

from perceiver_io import names
from tests import perceiver_goldens as goldens

UNITS = json.loads((goldens.FOLDER / 'units.json').read_text())
ARRAYS = dict(np.load(goldens.FOLDER / 'units.npz'))


def array(unit, name):
  x = ARRAYS[f'{unit}/{name}']
  return jnp.asarray(x, jnp.float64 if x.dtype.kind == 'f' else x.dtype)


def check(unit, found, name='out'):
  expected = array(unit, name)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, atol=1e-10, rtol=0)


def weights(unit, prefix='', to=''):
  """A unit's weights, their names' prefix replaced."""
  described = UNITS[unit]['params'] + UNITS[unit]['state']
  return {
    to + name.removeprefix(prefix): jnp.asarray(x, jnp.float64)
    for name, x in goldens.weights(described).items()
  }


def load(module, unit, *args, prefix='', to='', at='', **kwargs):
  """The variables of a module whose names in a whole model begin with `at`."""
  expected = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *args, **kwargs)
  )
  path = at.split('/') if at else []
  nested = {
    kind: functools.reduce(lambda x, p: {p: x}, reversed(path), tree)
    for kind, tree in expected.items()
  }
  filled = names.from_haiku(weights(unit, prefix, to), None, nested)
  return {
    kind: functools.reduce(lambda x, p: x[p], path, tree)
    for kind, tree in filled.items()
  }


def linears(unit, names):
  """{'params': {ours: {kernel, bias}}} from Haiku linear layers."""
  w = weights(unit)
  tree = {}
  for theirs, ours in names.items():
    kernel = w[f'{theirs}/w']
    kernel = kernel[0, 0] if kernel.ndim == 4 else kernel
    tree[ours] = {'kernel': kernel, 'bias': w[f'{theirs}/b']}
  return tree

"""All that a step changes, in one pytree, created straight into its shards."""

import functools
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from perceiver_paca.ops import compiling
from train_lib import sharding, task

PyTree = Any


@flax.struct.dataclass
class TrainState:
  """Attributes:
  step: int32 scalar, updates made so far.
  params: float32 parameters.
  model_state: the model's other collections (`batch_stats`, ...).
  opt_state: of the optimizer, with the parameters' moving average if any.
  """

  step: jax.Array
  params: PyTree
  model_state: PyTree
  opt_state: PyTree

  @property
  def variables(self) -> PyTree:
    """{'params': ..., ...}, as Flax's models take them."""
    return {'params': self.params, **self.model_state}

  @property
  def eval_variables(self) -> PyTree:
    """What evaluations use: the moving average of the parameters, if kept."""
    ema = optax.tree.get(self.opt_state, 'params_ema', self.params)
    return self.variables | {'params': ema}


def create(
  task: task.Task,
  tx: optax.GradientTransformation,
  batch: PyTree,
  seed: int,
  mesh: Mesh,
  rules: sharding.Rules,
) -> tuple[PyTree, Any]:
  """Describes a new state, and how to make it.

  Args:
    task: initialises the variables.
    tx: the optimizer.
    batch: arrays or ShapeDtypeStructs of a batch; its values do not matter.
    seed: of the initialisation.
    mesh: where the state lives.
    rules: how it is laid out, see `sharding.make_shardings`.

  Returns:
    The abstract state (ShapeDtypeStructs with shardings), and a function that
    makes the state, or nothing but what a function takes of it; no parameter
    ever exists whole on one device unless its rule says so.
  """

  def init():
    example = jax.tree.map(
      lambda x: jnp.zeros((1,) + x.shape[1:], x.dtype), batch
    )
    variables = task.init(jax.random.key(seed), example)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=variables['params'],
      model_state={k: v for k, v in variables.items() if k != 'params'},
      opt_state=tx.init(variables['params']),
    )

  abstract = jax.eval_shape(init)
  shardings = sharding.make_shardings(abstract, mesh, rules)
  abstract = jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    abstract,
    shardings,
  )

  def make(wanted=lambda state: state):
    made = jax.jit(
      lambda: wanted(init()),
      out_shardings=wanted(shardings),
      compiler_options=compiling.RUNS_ONCE,
    )
    return made()

  return abstract, make


def with_variables(
  state: TrainState, variables: PyTree, tx: optax.GradientTransformation
) -> TrainState:
  """A new state that starts from given variables.

  Args:
    state: a new one, or its ShapeDtypeStructs: where everything lies.
    variables: {'params': ..., ...} arrays.
    tx: the optimizer, which starts anew.
  """
  shardings = jax.tree.map(lambda x: x.sharding, (state.step, state.opt_state))

  def init(params):
    return jnp.zeros((), jnp.int32), tx.init(params)

  make = jax.jit(init, out_shardings=shardings)
  step, opt_state = make(variables['params'])
  return to_evaluate(variables).replace(step=step, opt_state=opt_state)


def to_evaluate(variables: PyTree) -> TrainState:
  """A state of given variables that no optimizer has."""
  model_state = {k: v for k, v in variables.items() if k != 'params'}
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=variables['params'],
    model_state=model_state,
    opt_state=(),
  )


def check_finite(
  step: int, scalars: dict[str, jax.Array], state: TrainState
) -> None:
  """Sees that a step's loss and gradient are finite.

  Args:
    step: whose scalars they are.
    scalars: with `loss` and `grad_norm`.
    state: after it, or after the next.

  Raises:
    FloatingPointError: names the step and an array.
  """
  for name in ('loss', 'grad_norm'):
    value = float(scalars[name])
    if not math.isfinite(value):
      raise FloatingPointError(
        f'The {name} of step {step} is {value}; the first array that is not '
        f'finite after it: {not_finite(state)}.'
      )


def not_finite(state: TrainState) -> str | None:
  """The path of the first array with a NaN or an infinity, None if all are
  finite."""
  leaves = {
    sharding.path_name(path): x
    for path, x in jax.tree_util.tree_flatten_with_path(state)[0]
    if jnp.issubdtype(x.dtype, jnp.inexact)
  }
  finite = _are_finite(list(leaves.values()))
  names = [n for n, x in zip(leaves, finite, strict=True) if not x]
  return names[0] if names else None


@functools.partial(jax.jit, compiler_options=compiling.RUNS_ONCE)
def _are_finite(arrays):
  return [jnp.all(jnp.isfinite(x)) for x in arrays]

"""A task whose functions are compiled: operation by operation takes seconds."""

import jax

from tests import golden_paca


def variables_of(task, batch):
  """Of the shapes of `task.init`, which itself takes seconds to compile."""
  shapes = jax.eval_shape(task.init, jax.random.key(0), batch)
  return golden_paca.random_variables(shapes)


class CompiledTask:
  """The task, but `predict`, `loss` and `metrics` under `jax.jit`."""

  def __init__(self, task):
    self._task = task
    self.predict = jax.jit(task.predict)
    self.loss = jax.jit(task.loss)
    self.metrics = jax.jit(task.metrics)

  def __getattr__(self, name):
    return getattr(self._task, name)

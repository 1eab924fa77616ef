"""A task whose functions are compiled: operation by operation takes seconds."""

import jax


class CompiledTask:
  """The task, but `init`, `predict`, `loss` and `metrics` under `jax.jit`."""

  def __init__(self, task):
    self._task = task
    self.init = jax.jit(task.init)
    self.predict = jax.jit(task.predict)
    self.loss = jax.jit(task.loss)
    self.metrics = jax.jit(task.metrics)

  def __getattr__(self, name):
    return getattr(self._task, name)

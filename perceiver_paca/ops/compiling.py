"""What programs are traced and compiled for."""

import contextlib
import contextvars
from collections.abc import Iterator

# Compiled fast, not well. At level 0 the language model's 201 million random
# numbers take 2 of 37 CPU seconds less to compile, and 31 to draw instead of 6.
RUNS_ONCE = {'xla_backend_optimization_level': 1}

_elsewhere = contextvars.ContextVar('elsewhere', default=False)


@contextlib.contextmanager
def for_other_runtimes() -> Iterator[None]:
  """Within it operations are traced as runtimes other than XLA like them.

  Those have kernels for whole operations, such as a grouped convolution or a
  softmax, and neither loops nor choices by platform.
  """
  token = _elsewhere.set(True)
  try:
    yield
  finally:
    _elsewhere.reset(token)


def is_for_other_runtimes() -> bool:
  return _elsewhere.get()

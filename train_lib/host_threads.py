"""NumPy's matrix products take one thread: others make other examples.

Threads of the input pipeline work on an example each. A product of NumPy's in
one of them would be spread over all cores by BLAS, whose threads wait for each
other by turning round: a log-mel spectrogram then takes two to ten times the
processor's time (docs/speed.md).
"""

import os
from collections.abc import MutableMapping

_VARIABLES = 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'OMP_NUM_THREADS'


def one_a_product(environ: MutableMapping[str, str] = os.environ) -> bool:
  """Also of worker processes and of libraries that are loaded later.

  Args:
    environ: of the process. If it has one of the variables of BLAS's threads,
      it stands.

  Returns:
    Whether it was done.
  """
  if any(name in environ for name in _VARIABLES):
    return False
  environ |= dict.fromkeys(_VARIABLES[:2], '1')
  try:
    import threadpoolctl
  except ImportError:  # Only time depends on it.
    return False
  threadpoolctl.threadpool_limits(1, user_api='blas')
  return True

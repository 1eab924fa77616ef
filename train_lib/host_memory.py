"""Memory of the host that a step frees is there for the next one.

glibc gives large arrays back to the system as soon as they are freed. A step on
a CPU then has the pages of all its temporaries mapped and zeroed again, which
takes it a quarter to a third of its time (docs/speed.md).
"""

import ctypes
import os
from collections.abc import Mapping

# The constants of malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed(environ: Mapping[str, str] = os.environ) -> bool:
  """Tells glibc to keep what is freed; of use before threads are started.

  All threads share one heap then, as what a thread of XLA's frees is otherwise
  not there for the next one. The process stays as large as it was at its
  largest, and may be larger by one step's temporaries. Nothing is done where
  the environment speaks of malloc itself (MALLOC_ARENA_MAX=..., GLIBC_TUNABLES)
  or the C library is another one.

  Returns:
    Whether it was done.
  """
  tuned = 'glibc.malloc' in environ.get('GLIBC_TUNABLES', '')
  if tuned or any(name.startswith('MALLOC_') for name in environ):
    return False
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  if mallopt is None or not hasattr(ctypes.CDLL(None), 'gnu_get_libc_version'):
    return False
  return all(
    mallopt(option, value)
    for option, value in (
      (_MMAP_MAX, 0),
      (_TRIM_THRESHOLD, _NEVER),
      (_ARENA_MAX, 1),
    )
  )

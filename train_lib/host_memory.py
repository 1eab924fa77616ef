"""Memory of the host that a step frees is there for the next one.

glibc gives large arrays back to the system as soon as they are freed. A step on
a CPU then has the pages of all its temporaries mapped and zeroed again, which
takes it a quarter to a third of its time (docs/speed.md).
"""

import ctypes
import os
import pathlib
import threading
import time
from collections.abc import Mapping

# The constants of malloc.h, and what they are by default.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_DEFAULTS = (_TRIM_THRESHOLD, 128 * 1024), (_MMAP_MAX, 65_536)
_KEEP = (_TRIM_THRESHOLD, -1), (_MMAP_MAX, 0), (_ARENA_MAX, 1)  # -1: never
_SHARE = 1 / 3
_LIMITS = '/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/limit_in_bytes'


def keep_freed(
  environ: Mapping[str, str] = os.environ, most: int | None = None
) -> bool:
  """Tells glibc to keep what is freed; of use before threads are started.

  All threads share one heap then, as what a thread of XLA's frees is otherwise
  not there for the next one. The process stays as large as it was at its
  largest, and may be larger by one step's temporaries. So, once it is larger
  than `most`, freed memory is given back as before. Nothing is done where the
  environment speaks of malloc itself (MALLOC_ARENA_MAX=..., GLIBC_TUNABLES) or
  the C library is another one.

  Args:
    environ: of the process.
    most: in bytes; None: a third of the machine's, or the container's, memory.

  Returns:
    Whether it was done.
  """
  tuned = 'glibc.malloc' in environ.get('GLIBC_TUNABLES', '')
  if tuned or any(name.startswith('MALLOC_') for name in environ):
    return False
  library = ctypes.CDLL(None)
  if not hasattr(library, 'gnu_get_libc_version'):
    return False
  if most is None:
    most = int(_SHARE * _memory())
  if not all(library.mallopt(*option) for option in _KEEP):
    return False

  def watch():
    while resident_bytes() <= most:
      time.sleep(1)
    for option in _DEFAULTS:
      library.mallopt(*option)
    library.malloc_trim(0)

  threading.Thread(target=watch, daemon=True).start()
  return True


def _memory() -> int:
  """Bytes that the machine has, or the container may use."""
  page = os.sysconf('SC_PAGE_SIZE')
  sizes = [page * os.sysconf('SC_PHYS_PAGES')]
  for path in map(pathlib.Path, _LIMITS):
    if path.exists() and (limit := path.read_text().strip()).isdigit():
      sizes.append(int(limit))
  return min(sizes)


def resident_bytes() -> int:
  """Bytes of memory that this process has now; 0 where none can tell."""
  statm = pathlib.Path('/proc/self/statm')
  if not statm.exists():
    return 0
  pages = int(statm.read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE')

"""Freed memory is there for the next step, unless the user says otherwise."""

import subprocess
import sys

import pytest

from tests.processes import ROOT, environment
from train_lib import host_memory


@pytest.mark.parametrize(
  'environ',
  [
    {'MALLOC_ARENA_MAX': '4'},
    {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'},
  ],
)
def test_what_the_user_says_of_malloc_stands(environ):
  assert not host_memory.keep_freed(environ)


_PROGRAM = """
import resource, sys, time
import numpy as np
from train_lib import host_memory

def new_pages():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  # 3 GiB, of which 3,072 pages are used, freed at once. PaCa-Small's step has
  # as much.
  np.empty(3 * 2**30, np.uint8)[:: 2**20] = 1
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

how = sys.argv[1]
if how != 'default':
  assert host_memory.keep_freed({}, most={'keep': None, 'full': 2**20}[how])
if how == 'full':
  time.sleep(2.5)  # for what watches
print([new_pages() for _ in range(3)][-1])
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != 'linux', reason='of glibc alone')
def test_pages_that_were_freed_are_not_mapped_again():
  """Unless the process has got too large."""
  pages = {}
  for how in ('keep', 'default', 'full'):
    done = subprocess.run(
      [sys.executable, '-c', _PROGRAM, how],
      cwd=ROOT,
      env=environment(),
      capture_output=True,
      text=True,
      check=True,
    )
    pages[how] = int(done.stdout)
  assert pages['keep'] < 100 < min(pages['default'], pages['full']), pages

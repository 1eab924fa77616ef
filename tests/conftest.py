"""Every test runs on eight fake CPU devices and shares the compile cache.

XLA compiles with least effort: tests ask what is computed, not how fast, and
compiling is most of their time.

A run prints the CPU seconds of its slowest tests, and fails if those of a file
exceed twice its budget in `budgets.toml`, or more on a slower machine. With
TESTS_UNTIL, seconds since 1970, no test begins later: those are skipped, and
the run ends by saying how many. Such runs begin at another file each time.
"""

import collections
import functools
import gc
import os
import pathlib
import resource
import sys
import time
import tomllib

import pytest

from tests.processes import LEAST_EFFORT
from train_lib import host_memory

os.environ['XLA_FLAGS'] = (
  f'{os.environ.get("XLA_FLAGS", "")} {LEAST_EFFORT}'
  ' --xla_force_host_platform_device_count=8'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Two workers and their threads share the cores.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
# On a GPU a float32 product would be one of TensorFloat-32.
os.environ.setdefault('JAX_DEFAULT_MATMUL_PRECISION', 'highest')
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  os.path.expanduser('~/.cache/perceiver-paca/xla'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')

BUDGETS = pathlib.Path(__file__).parent / 'budgets.toml'
# Of `_slowness`, about, where budgets were set: a machine that took 0.061 took
# 2.2 times the CPU seconds for all tests.
LOOP_SECONDS = 0.028
MOST_BYTES = 2**31  # of a worker, beyond which it forgets programs
UNTIL = float(os.environ.get('TESTS_UNTIL', 'inf'))
_TOO_LATE = 'the time was over'
_by_test = collections.Counter()
_by_file = collections.Counter()  # of a tier: (tier, name of the file)
_last = 0.0


@pytest.fixture(scope='module', autouse=True)
def _not_too_many_programs():
  """Between files a worker that has grown forgets what it compiled."""
  yield
  if host_memory.resident_bytes() > MOST_BYTES and 'jax' in sys.modules:
    sys.modules['jax'].clear_caches()
    gc.collect()


def _cpu_seconds():
  """Of this process, its threads and the processes that it waited for."""
  own, children = (
    resource.getrusage(who)
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def pytest_runtest_logstart():
  global _last
  _last = _cpu_seconds()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
  """Begins at a file that TESTS_UNTIL chooses, or the last never had a turn."""
  files = sorted({item.path for item in items})
  if files and UNTIL < float('inf'):
    first = files[int(UNTIL) % len(files)]
    items.sort(key=lambda item: item.path < first)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
  if time.time() > UNTIL:
    pytest.skip(_TOO_LATE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
  """After set-up, call and tear-down, in the process that runs the test."""
  global _last
  report = yield
  now = _cpu_seconds()
  report.cpu_seconds, _last = now - _last, now
  return report


def pytest_runtest_logreport(report):
  """In the process that pytest was started in, whoever ran the test."""
  tiers = [t for t in ('slow', 'full') if t in report.keywords] or ['quick']
  file = report.nodeid.split('::')[0].removeprefix('tests/')
  _by_test[report.nodeid] += report.cpu_seconds
  _by_file[tiers[0], file] += report.cpu_seconds


@functools.cache
def _slowness():
  """How much more time a loop takes than where budgets were set, from 1."""
  seconds = []
  for _ in range(5):
    start = time.process_time()
    sum(i * i % 7 for i in range(500_000))
    seconds.append(time.process_time() - start)
  return max(1.0, min(seconds) / LOOP_SECONDS)


def _exceeded():
  """(tier, file, CPU seconds, budget) of those above twice their budget."""
  budgets = tomllib.loads(BUDGETS.read_text())
  for (tier, file), seconds in _by_file.most_common():
    budget = budgets.get(tier, {}).get(file, budgets['default'])
    budget = round(budget * _slowness())
    if tier in budgets and seconds > 2 * budget:
      yield tier, file, seconds, budget


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
  is_worker = hasattr(session.config, 'workerinput')
  if not is_worker and session.exitstatus == 0 and any(_exceeded()):
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
  terminalreporter.section('CPU seconds of the slowest 25 tests and files')
  for name, seconds in _by_test.most_common(25):
    terminalreporter.line(f'{seconds:7.1f} {name}')
  for (tier, file), seconds in _by_file.most_common(25):
    terminalreporter.line(f'{seconds:7.1f} {file}, {tier}')
  skipped = terminalreporter.stats.get('skipped', [])
  if late := sum(_TOO_LATE in str(report.longrepr) for report in skipped):
    terminalreporter.line(f'{late} tests were not run: {_TOO_LATE}', red=True)
  whole = sum(_by_test.values())
  terminalreporter.line(f'{whole:7.1f} all tests, without imports')
  for tier, file, seconds, budget in _exceeded():
    terminalreporter.line(
      f'{file}, {tier}: took {seconds:.0f} CPU seconds, expected at most twice '
      f'its budget of {budget} (tests/budgets.toml)',
      red=True,
    )

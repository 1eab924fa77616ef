"""Compiles full-size configs for the TPUs that they name, without any TPU.

  python -m tools.compile_check --output=docs/compile-check.md
  python -m tools.compile_check --only=perceiver_io/imagenet:fourier

A config module says in TPU_TOPOLOGIES what to compile: variant -> (topology,
options to set); other variants, which --only may name, go by the first of them.
The real train step and the real evaluation step are compiled ahead of time, in
bfloat16, by libtpu (extra tpu-compile). What does not fit into the device's
memory, a large array that a device gathers whole although it is no parameter,
and a large part of the state that is not split although the mesh could split
it are errors, which name the array.

Nothing is run: step times are those of a roofline, the slowest of arithmetic,
memory and communication, as if each ran at its peak.
"""

import concurrent.futures
import multiprocessing

from absl import app, flags

from tools.compile_check import check, report
from tools.output import OUTPUT

ONLY = flags.DEFINE_multi_string(
  'only',
  [],
  'Check these, such as perceiver_io/imagenet:fourier; all if none.',
)
JOBS = flags.DEFINE_integer('jobs', 2, 'How many to compile at a time.')


def main(argv):
  del argv
  names = ONLY.value or check.full_size()
  try:
    named = [check.topology_of(name) for name in names]
    for name, (_, options) in zip(names, named, strict=True):
      check.config_of(name, options)  # raises, too, and now rather than later
  except ValueError as e:
    raise app.UsageError(str(e)) from e
  reports, num_failed = [], 0
  with concurrent.futures.ProcessPoolExecutor(
    JOBS.value,
    mp_context=multiprocessing.get_context('spawn'),
    max_tasks_per_child=1,  # the compiler keeps memory
  ) as pool:
    checks = [
      pool.submit(check.check, name, *topology)
      for name, topology in zip(names, named, strict=True)
    ]
    for done in checks:
      try:
        reports.append(done.result())
        print(report.row(reports[-1]), flush=True)
      except check.CheckError as e:
        num_failed += 1
        print(f'FAILED {e}', flush=True)
  if num_failed:
    raise SystemExit(f'{num_failed} of {len(names)} configs do not fit.')
  if OUTPUT.value:
    with open(OUTPUT.value, 'w') as file:
      file.write(report.INTRODUCTION + report.table(reports))


if __name__ == '__main__':
  app.run(main)

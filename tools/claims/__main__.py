"""`python -m tools.claims`, see the package."""

import os
import sys
import time

from absl import app, flags, logging

ONLY = flags.DEFINE_list(
  'only', [], 'Names of claims or of measurements; all if none.'
)
LIST = flags.DEFINE_bool('list', False, 'Say what is measured and what not.')
REPORT = flags.DEFINE_bool('report', False, 'Write the page and its plots.')


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unexpected arguments: {argv[1:]}')
  if not flags.FLAGS['verbosity'].present:  # Libraries tell their every step.
    logging.set_verbosity(logging.ERROR)
  from tools.claims import measure, page, plots  # They import JAX.

  try:
    names = page.measurements(ONLY.value)
  except ValueError as e:
    sys.exit(f'--only: {e}')
  if LIST.value:
    print(*(measure.state_of(name) for name in names), sep='\n')
  elif REPORT.value:
    page.write()
    plots.write()
  else:
    from train_lib import runtime

    runtime.initialize()
    for run in measure.missing(names):
      began = time.monotonic()
      if not run.measure():
        sys.exit(f'{run.name}: stopped; nothing of it is kept.')
      print(f'{run.name}: {time.monotonic() - began:.0f} s', flush=True)


if __name__ == '__main__':
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  app.run(main)

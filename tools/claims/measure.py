"""All measurements by name, and what of them is still to be made."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tools.claims import counts, equalities, store, studies, training

COMPUTED = counts.MEASUREMENTS | equalities.MEASUREMENTS
NAMES = (*COMPUTED, *studies.STUDIES)


class Missing(NamedTuple):
  """What has no result: a name, and what measures it; False if stopped."""

  name: str
  measure: Callable[[], bool]


def missing(names: Iterable[str]) -> Iterator[Missing]:
  """What is to be measured of these, in order, as the files are by then."""
  for name in names:
    if name in COMPUTED:
      if store.read(name) is None:
        yield Missing(name, functools.partial(_compute, name))
      continue
    study = studies.STUDIES[name]
    for setting, seed in list(training.missing(name, study)):
      run = functools.partial(training.run, name, study, setting, seed)
      yield Missing(
        f'{name}, {setting}, seed {seed}', lambda run=run: run() is not None
      )


def state_of(name: str) -> str:
  """A line: what there is of a measurement."""
  if name in COMPUTED:
    found = store.read(name)
    return f'{name}: ' + (found['date'] if found else 'not measured yet')
  study = studies.STUDIES[name]
  total = len(study.settings) * len(studies.SEEDS)
  left = len(list(training.missing(name, study)))
  return f'{name}: {total - left} of {total} runs'


def _compute(name: str) -> bool:
  began = time.process_time()
  values = COMPUTED[name]()
  store.write(
    name,
    {
      'values': values,
      'command': f'python -m tools.claims --only={name}',
      'cpu_seconds': round(time.process_time() - began, 1),
      **store.circumstances(),
    },
  )
  return True

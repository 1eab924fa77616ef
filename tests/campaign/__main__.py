"""Attacks runs, checkpoints, options, weights and launchers, and counts.

  python -m tests.campaign --seed=1
  python -m tests.campaign --seed=1 --only=kills,corruption --share=0.1

Prints a table in Markdown, a row a part when it is through, and beneath it what
was not as it must be. docs/reliability.md keeps one. It takes about an hour of
CPU; `--share` makes all counts smaller. Exits with 1 if anything was silent,
executed, unbounded or not the same.
"""

import argparse
import collections
import functools
import os
import pathlib
import random
import sys
import tempfile
import time

from tests.campaign import (
  corruption,
  forked,
  hostile,
  kills,
  mutations,
  processes,
  typed,
)
from tests.processes import LEAST_EFFORT

# Outcomes that must be, of each part; whatever else is printed in full.
_GOOD = {
  'kills': ('bit-identical',),
  'corruption': ('refused, in one line', 'the one before, and said'),
  'mistakes': ('one line',),
  'mutations': ('one line',),
  'changes': ('one line', 'accepted'),
  'weights': ('read', 'refused, in one line'),
  'launchers': (
    'arrives as it was given',
    'refused by name',
    'taken, a plain name',
  ),
  'processes': ('named',),
}
_COUNTS = {
  'kills': 30,
  'corruption': 200,
  'mistakes': 1000,
  'mutations': 10_000,
  'weights': 400,
  'launchers': 60,
  'processes': 11,
}


class Table:
  """Counts the outcomes of parts; `report` of a part takes (kind, details)."""

  def __init__(self):
    self._bad = []
    print('| part | attacks | outcomes | seconds |\n|---|---|---|---|')

  def part(self, name: str, body) -> None:
    """Runs body(report, folder) and prints its row, or rows."""
    counts, began = collections.defaultdict(collections.Counter), time.time()

    def report(kind, details='', row=name):
      counts[row][kind] += 1
      if kind not in _GOOD[row]:
        self._bad.append((row, kind, details))
        print(f'{row}: {kind}: {details}', file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
      body(report, pathlib.Path(folder))
    for row, found in counts.items():
      outcomes = ', '.join(f'{n} {kind}' for kind, n in found.most_common())
      seconds = round(time.time() - began)
      print(f'| {row} | {found.total()} | {outcomes} | {seconds} |', flush=True)

  def is_good(self) -> bool:
    """Whether nothing was silent, executed, unbounded or not the same."""
    bad = 'silent', 'executed', 'unbounded', 'differs', 'arrives otherwise'
    return not any(kind.startswith(bad) for _, kind, _ in self._bad)


def _mistakes(rng, count, report, folder):
  for arguments, name in typed.sampled(str(folder / 'run'), count, rng):
    outcome = forked.until_it_compiles(arguments)
    report(outcome.kind(name), f'{arguments[1:]} {outcome.error[-300:]}')


def _mutations(rng, count, report, folder):
  for config, its_flags in mutations.CONFIGS.items():
    drawn = list(mutations.mutations(config, rng))[: count // 3]
    for number, (path, value, may_fit) in enumerate(drawn):
      arguments = [f'--config=configs/{config}', *its_flags]
      arguments += [f'--config.{path}={value}']
      workdir = f'--workdir={folder / f"{config[:4]}_{number}"}'
      outcome = forked.until_it_compiles([*arguments, workdir])
      details = f'{arguments[-1]} of {config}: {outcome.error[-300:]}'
      row = 'changes' if may_fit else 'mutations'
      report(outcome.kind(path), details, row)


def options() -> argparse.Namespace:
  # absl's flags are those of the programs that are attacked.
  parser = argparse.ArgumentParser(prog='python -m tests.campaign')
  parser.add_argument('--seed', type=int, required=True)
  parser.add_argument('--only', help='parts, with commas; else all')
  parser.add_argument('--share', type=float, default=1.0, help='of all counts')
  return parser.parse_args()


def main():
  chosen = options()
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {LEAST_EFFORT}'
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  table = Table()
  for name in chosen.only.split(',') if chosen.only else _COUNTS:
    count = max(1, round(chosen.share * _COUNTS[name]))
    seed = f'{chosen.seed} {name}'
    rng = random.Random(seed)

    def body(report, folder, name=name, count=count, seed=seed, rng=rng):
      if name == 'mistakes':
        _mistakes(rng, count, report, folder)
      elif name == 'mutations':
        _mutations(rng, count, report, folder)
      elif name == 'corruption':
        hits = functools.partial(corruption.campaign, seed, count, folder)
        for result in forked.call(hits):
          report(*result)
      else:
        part = {
          'kills': kills.campaign,
          'weights': hostile.weights,
          'launchers': hostile.launchers,
          'processes': processes.campaign,
        }[name]
        part(rng, count, folder, report)

    table.part(name, body)
  sys.exit(not table.is_good())


if __name__ == '__main__':
  main()

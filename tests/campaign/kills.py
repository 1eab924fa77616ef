"""Runs that are killed at random moments, and must end as if they were not.

Every step saves, and every second step evaluates and saves if it is the best,
so that most moments are within some save. Of the moments, one in four lies
before the first step.
"""

import functools
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import time

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from tests.campaign import forked

CONFIGS = 'paca_vit/mnist5k.py:tiny', 'perceiver_io/mnist5k.py:tiny'
NUM_STEPS = 16
_FLAGS = (
  f'--config.num_steps={NUM_STEPS}',
  '--config.checkpoint.every_steps=1',
  '--config.evals.test.every_steps=2',
  '--config.data.batch_size=32',
  '--config.data.num_threads=1',
)
_PICTURES = {  # of other evaluators, which only the last step draws
  CONFIGS[0]: ('--config.evals.clusters.num_images=1',),
  CONFIGS[1]: ('--config.evals.attention.num_images=1',),
}
_KILLS_OF_A_RUN = 5
_SECONDS = 900  # until a run is given up


def run(config: str, workdir: pathlib.Path) -> int:
  """Starts, or goes on with, a run; the process."""
  arguments = [
    f'--config=configs/{config}',
    f'--workdir={workdir}',
    *_FLAGS,
    *_PICTURES[config],
  ]
  return forked.train_py(arguments, workdir.with_suffix('.log'))


def kill_one(config: str, workdir: pathlib.Path, rng: random.Random) -> bool:
  """Starts a run and kills it; False if it had ended before."""
  process = run(config, workdir)
  first = len(_rows(workdir))
  rows = 0 if rng.random() < 0.25 else rng.randrange(1, 5)
  until = time.monotonic() + _SECONDS
  while len(_rows(workdir)) < first + rows and time.monotonic() < until:
    if os.waitpid(process, os.WNOHANG)[0]:
      return False
    time.sleep(0.002)
  # A step takes about a tenth of a second, a start some seconds.
  time.sleep(rng.uniform(0, 0.3 if rows else 5))
  os.kill(process, signal.SIGKILL)
  return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) < 0


def finish(config: str, workdir: pathlib.Path) -> int:
  """Goes on with a run until it ends; the exit status."""
  return os.waitstatus_to_exitcode(os.waitpid(run(config, workdir), 0)[1])


def campaign(rng: random.Random, count: int, folder: pathlib.Path, report):
  """Kills `count` runs; `report` is called with (kind, details) of each run."""
  for config in CONFIGS:
    family = config.partition('/')[0]
    reference = folder / f'{family}_unbroken'
    assert finish(config, reference) == 0, _log(reference)
    left, number = count // len(CONFIGS), 0
    while left:
      workdir, number = folder / f'{family}_{number}', number + 1
      killed = 0
      while killed < min(left, _KILLS_OF_A_RUN):
        if not kill_one(config, workdir, rng):
          break
        killed += 1
      left -= killed
      code = finish(config, workdir)
      difference = _difference(workdir, reference)
      if code:
        difference = f'ended with {code}: {_log(workdir)}'
      for _ in range(killed):
        report('bit-identical' if not difference else 'differs', difference)
      if not difference:
        shutil.rmtree(workdir)


def _rows(workdir: pathlib.Path) -> list[str]:
  path = workdir / 'metrics.jsonl'
  return path.read_text().splitlines() if path.exists() else []


def _log(workdir: pathlib.Path) -> str:
  return workdir.with_suffix('.log').read_text()[-2000:]


def _difference(workdir: pathlib.Path, reference: pathlib.Path) -> str:
  """What differs between what two runs have left, '' if nothing."""
  for folder in ('checkpoints', 'best'):
    ours, theirs = (_last(x / folder) for x in (workdir, reference))
    if ours is None or ours.name != theirs.name:
      return f'{folder}: {ours}, not {theirs}'
    ours, theirs = (
      forked.call(functools.partial(_arrays, x)) for x in (ours, theirs)
    )
    if ours != theirs:
      return f'{folder}: {sorted(set(ours.items()) ^ set(theirs.items()))}'
  ours, theirs = (_scalars(x) for x in (workdir, reference))
  return '' if ours == theirs else 'metrics.jsonl'


def _last(folder: pathlib.Path) -> pathlib.Path | None:
  steps = [int(x.name) for x in folder.glob('*') if x.name.isdigit()]
  return folder / str(max(steps)) if steps else None


def _arrays(checkpoint: pathlib.Path) -> dict[str, str]:
  """Path of each array -> a digest of its bytes."""
  tree = ocp.load_checkpointables(checkpoint)
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    jax.tree_util.keystr(path): hashlib.sha256(np.asarray(x)).hexdigest()
    for path, x in leaves
  }


def _scalars(workdir: pathlib.Path) -> list[dict]:
  """Of metrics.jsonl, but for what is timed."""
  rows = [json.loads(line) for line in _rows(workdir)]
  timed = 'examples_per_second', 'step_seconds', 'data_seconds'
  return [{k: x for k, x in row.items() if k not in timed} for row in rows]

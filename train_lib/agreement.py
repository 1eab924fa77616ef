"""Several processes agree before they begin: config, code and workdir.

What differs would otherwise train on with a mixture of both, or hang.
"""

import hashlib
import json
import pathlib
import secrets
import time
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils

from train_lib import places

_ROOT = pathlib.Path(__file__).parent.parent
_ROOMS = 'baselines', 'configs', 'data', 'paca_vit', 'perceiver_io'
_ROOMS += 'perceiver_paca', 'train_lib'
_VISIBLE_SECONDS = 30  # until a file is seen everywhere on a network's disk


def check(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Compares this process with the first; a single one agrees with itself.

  Args:
    config: of the run.
    workdir: a folder that exists.

  Raises:
    ValueError: on all processes; those that differ name what does.
  """
  if jax.process_count() == 1:
    return
  mine = {**_leaves(json.loads(config.to_json_best_effort())), 'code': _code()}
  theirs = json.loads(_of_the_first(json.dumps(mine)))
  _raise_together(_difference(mine, theirs), 'config')
  _raise_together(_elsewhere(workdir), '--workdir')


def _difference(mine: dict[str, Any], theirs: dict[str, Any]) -> str | None:
  """The first option that differs, in words."""
  for name in sorted(mine.keys() | theirs.keys()):
    here, there = mine.get(name), theirs.get(name)
    if here != there:
      if name == 'code':
        return 'config: this process runs other code than the first.'
      return (
        f'config.{name}: found {here!r}; expected {there!r}, as the first '
        'process has it.'
      )
  return None


def _elsewhere(workdir: str) -> str | None:
  """Whether a file of the first process is not seen here."""
  name = _of_the_first(f'.process-0-{secrets.token_hex(8)}')
  path = places.of(workdir) / name
  is_first = jax.process_index() == 0
  if is_first:
    path.write_text('')
  until = time.monotonic() + _VISIBLE_SECONDS
  while not path.exists() and time.monotonic() < until:
    time.sleep(0.1)
  seen = path.exists()
  multihost_utils.sync_global_devices('the first process was looked for')
  if is_first:
    path.unlink()
  if seen:
    return None
  return (
    f'--workdir: what the first process writes to {workdir} is not seen here; '
    'expected a folder that all processes share.'
  )


def _of_the_first(text: str) -> str:
  """The first process's text, everywhere."""
  data = np.frombuffer(text.encode(), np.uint8)
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
  padded = np.zeros(size, np.uint8)
  padded[: len(data)] = data[:size]
  return bytes(multihost_utils.broadcast_one_to_all(padded)).decode()


def _raise_together(problem: str | None, option: str) -> None:
  """Raises on all processes if one has a problem."""
  found = multihost_utils.process_allgather(np.array(problem is not None))
  if problem is not None:
    raise ValueError(f'{problem} (Process {jax.process_index()}.)')
  if found.any():
    others = ', '.join(map(str, np.flatnonzero(found)))
    raise ValueError(
      f'{option}: processes {others} differ from this one, and say how.'
    )


def _code() -> str:
  """A digest of the project's Python files."""
  sha = hashlib.sha256()
  for room in _ROOMS:
    for path in sorted((_ROOT / room).rglob('*.py')):
      sha.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
  return sha.hexdigest()


def _leaves(tree: Any, path: str = '') -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {path: tree}
  leaves = {}
  for key, value in tree.items():
    leaves |= _leaves(value, f'{path}.{key}' if path else key)
  return leaves

"""Checkpoints whose files are hit: whoever reads them has to notice.

All in one process, which must be one of its own: it touches the device.
"""

import contextlib
import io
import pathlib
import random
import re
import shutil
from collections.abc import Callable

import jax
import numpy as np

import train
from configs.paca_vit import mnist5k
from train_lib import checkpoint, runtime, setup, stored, weights

_BLOCK = 512  # bytes that a disk loses at once


def campaign(seed: str, count: int, folder: pathlib.Path) -> list:
  """Hits `count` checkpoints: [(kind, details), ...]."""
  rng = random.Random(seed)
  config = mnist5k.get_config('tiny')
  del config.evals.clusters
  config.num_steps, config.checkpoint.every_steps = 4, 2
  config.evals.test.every_steps = 2
  whole = folder / 'whole'
  with contextlib.redirect_stdout(io.StringIO()):
    train.train_and_evaluate(config, str(whole))
  readers = Readers(setup.make_setup(config).state)
  truth = {name: read(whole)[1] for name, read in readers.all.items()}
  before = folder / 'before'
  shutil.copytree(whole, before)
  for kept in ('checkpoints', 'best'):
    assert len(list((before / kept).iterdir())) == 2, 'one to fall back on'
    shutil.rmtree(_newest(before / kept))
  earlier = {name: read(before)[1] for name, read in readers.all.items()}
  results = []
  for number in range(count):
    workdir = folder / 'hit'
    shutil.copytree(whole, workdir)
    name = rng.choice(list(readers.all))
    described = f'{name}: {hit(workdir, name, rng)}'
    kind = outcome(readers.all[name], workdir, truth[name], earlier[name])
    results.append((kind, f'{number}: {described}'))
    shutil.rmtree(workdir)
  return results


class Readers:
  """All ways to read a workdir's checkpoints: workdir -> (what it says,
  arrays by name).

  Attributes:
    all: name -> function.
  """

  def __init__(self, state):
    self._state = state
    self.all = {
      'train.py': self._resume,
      'eval.py': lambda x: stored.load_state(str(x), state, best=False),
      'eval.py --best': lambda x: stored.load_state(str(x), state, best=True),
      'init_from': self._init_from,
      'convert_weights': lambda x: weights.read_variables(str(x)),
    }
    self.all = {name: _heard(read) for name, read in self.all.items()}

  def _resume(self, workdir):
    checkpoints = checkpoint.Checkpoints(str(workdir), 2)
    try:
      return checkpoints.restore(self._state)
    finally:
      checkpoints.close()

  def _init_from(self, workdir):
    zeros = jax.tree.map(
      lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding),
      {'params': self._state.params, **self._state.model_state},
    )
    return weights.load_variables(str(workdir), zeros, ())


def _heard(read: Callable) -> Callable:
  def heard(workdir):
    with contextlib.redirect_stdout(io.StringIO()) as said:
      tree = read(workdir)
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return said.getvalue(), {
      jax.tree_util.keystr(path): np.asarray(x) for path, x in leaves
    }

  return heard


def outcome(read, workdir: pathlib.Path, truth: dict, earlier: dict) -> str:
  """What came of reading a workdir that was hit."""
  try:
    said, found = read(workdir)
  except (ValueError, OSError, RuntimeError) as e:
    text = ' '.join(str(e).split())
    named = re.match(runtime._MENDABLE, text) and str(workdir) in text
    return 'refused, in one line' if named else 'another error'
  except Exception as e:
    return f'another error ({type(e).__name__})'
  if said and 'cannot be read' in said and _same(found, earlier):
    return 'the one before, and said'
  return 'silent, unharmed' if _same(found, truth) else 'silent'


def _same(ours: dict, theirs: dict) -> bool:
  return ours.keys() == theirs.keys() and all(
    ours[name].tobytes() == x.tobytes() for name, x in theirs.items()
  )


def hit(workdir: pathlib.Path, reader: str, rng: random.Random) -> str:
  """Damages what a reader reads first; says how."""
  folder = _newest(workdir / ('best' if 'best' in reader else 'checkpoints'))
  files = sorted(x for x in folder.rglob('*') if x.is_file())
  while True:
    path = rng.choice(files)
    # Large files have most of the bits.
    if rng.random() < 0.5:
      path = max(files, key=lambda x: x.stat().st_size * rng.random())
    before = path.read_bytes()
    kind = rng.choice([_flip, _flip, _flip, _cut, _lose, _zero, _delete, _old])
    kind(path, rng)
    if not path.exists() or path.read_bytes() != before:
      return f'{kind.__name__} {path.relative_to(workdir)}'


def _newest(folder: pathlib.Path) -> pathlib.Path:
  return max(folder.iterdir(), key=lambda path: int(path.name))


def _flip(path, rng):
  data = bytearray(path.read_bytes() or b'\0')
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  path.write_bytes(data)


def _cut(path, rng):
  data = path.read_bytes()
  path.write_bytes(data[: rng.randrange(len(data) + 1)])


def _lose(path, rng):
  """One byte, so that all that follows has moved."""
  data = path.read_bytes()
  at = rng.randrange(len(data) + 1)
  path.write_bytes(data[:at] + data[at + 1 :])


def _zero(path, rng):
  data = bytearray(path.read_bytes())
  at = rng.randrange(len(data) + 1)
  end = min(at + _BLOCK, len(data))
  data[at:end] = bytes(end - at)
  path.write_bytes(data)


def _delete(path, rng):
  del rng
  path.unlink()


def _old(path, rng):
  """What another file of the checkpoint holds: a write that went astray."""
  others = sorted(x for x in path.parent.iterdir() if x.is_file())
  path.write_bytes(rng.choice(others).read_bytes())

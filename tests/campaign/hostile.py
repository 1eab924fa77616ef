"""Files of weights and values for launchers as an enemy would make them."""

import functools
import os
import pathlib
import pickle
import random
import resource
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from perceiver_paca.weights import files, torch_files
from tests import test_launch, test_launch_refusals
from tests import test_perceiver_paca_weights_hostile as hostile_weights
from tests.campaign import forked

_MEBIBYTE = 2**20
_SECONDS, _MEMORY = 5, 500 * _MEBIBYTE


class _Called:
  """What unpickling would call."""

  def __init__(self, function, *arguments):
    self._call = function, arguments

  def __reduce__(self):
    return self._call


def _payloads(marker: pathlib.Path) -> list[bytes]:
  """Pickles that would make a file if anything in them were called."""
  command = f'touch {marker}'
  source = f"open({str(marker)!r}, 'w').close()"
  word = command.encode()
  called = [
    _Called(os.system, command),
    _Called(os.popen, command),
    _Called(eval, source),
    _Called(exec, source),
    _Called(os.mkdir, str(marker)),
    _Called(functools.partial(os.system, command)),
    _Called(pathlib.Path.touch, marker),
  ]
  return [
    *(pickle.dumps({'w': x}, p) for x in called for p in range(5)),
    b"cos\nsystem\n(S'" + word + b"'\ntR.",
    b"(S'" + word + b"'\nios\nsystem\n.",
    b"(cos\nsystem\nS'" + word + b"'\no.",
    b"cposix\nsystem\nS'" + word + b"'\n\x85R.",
    b'\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c'
    + struct.pack('B', len(word))
    + word
    + b'\x85R.',
  ]


def weights(rng: random.Random, count: int, folder: pathlib.Path, report):
  """Reads hostile files: all that are known, then `count` mutated ones."""
  marker, path = folder / 'executed', folder / 'weights'
  whole = _whole_files(folder)
  made = [(name, data) for name, data in hostile_weights.PICKLES.items()]
  made += [('a call', data) for data in _payloads(marker)]
  for number in range(count):
    name, data = rng.choice(whole)
    made.append((f'mutated {name} {number}', _mutated(data, rng)))
  for name, data in made:
    path.write_bytes(data)
    kind = forked.call(functools.partial(_read, str(path)))
    if marker.exists():
      kind = 'executed'
    report(kind, name)


def _whole_files(folder: pathlib.Path) -> list[tuple[str, bytes]]:
  rng = np.random.default_rng(0)
  tensors = {
    f'layer{i}.weight': rng.normal(size=(8, 4)).astype(np.float32)
    for i in range(4)
  }
  torch_files.save(str(folder / 'a.pth'), tensors)
  np.savez(folder / 'a.npz', **tensors)
  found = [(p, (folder / p).read_bytes()) for p in ('a.pth', 'a.npz')]
  found.append(('a.pickle', pickle.dumps(tensors)))
  golden = test_launch.ROOT / 'tests/golden/weights'
  return found + [(p.name, p.read_bytes()) for p in sorted(golden.glob('*'))]


def _mutated(data: bytes, rng: random.Random) -> bytes:
  """Bytes changed, doubled, cut out or made large, at some places."""
  data = bytearray(data)
  for _ in range(rng.randrange(1, 6)):
    at = rng.randrange(len(data))
    end = at + rng.randrange(1, 9)
    how = rng.randrange(5)
    if how == 0:
      data[at] = rng.randrange(256)
    elif how == 1:
      data[at:end] = b'\xff' * (end - at)
    elif how == 2:
      del data[at:end]
    elif how == 3:
      data[at:at] = data[at:end]
    else:
      data[at:end] = rng.choice([b'R', b'c', b'b', b'o', b'i', b'\x93', b'.'])
    data = data or bytearray(b'\0')
  return bytes(data)


def _read(path: str) -> str:
  began = time.process_time()
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  try:
    files.load(path)
    kind = 'read'
  except ValueError as e:
    kind = 'refused, in one line' if '\n' not in str(e) else 'refused'
  except Exception as e:
    kind = f'another error ({type(e).__name__})'
  grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
  if time.process_time() - began > _SECONDS:
    return 'unbounded (time)'
  if grown > _MEMORY + 3 * os.path.getsize(path):
    return 'unbounded (memory)'
  return kind


def launchers(rng: random.Random, count: int, folder: pathlib.Path, report):
  """Gives launchers made-up values, as flags of a run and as options."""
  for number in range(count):
    parts = rng.sample(test_launch.HOSTILE, rng.randrange(1, 4))
    value = rng.choice(['', ' ', '$x']).join(parts)
    place = folder / str(number)
    place.mkdir()
    launch = test_launch.Launcher(place)
    kind = _as_a_flag(launch, value, place)
    report(kind, repr(value))
    script, names = rng.choice(list(test_launch_refusals.OPTIONS.items()))
    option = rng.choice(names.split())
    report(_as_an_option(launch, script, option, value), f'{option} {value!r}')


def _as_a_flag(launch, value: str, place: pathlib.Path) -> str:
  with pytest.MonkeyPatch.context() as patch:
    try:
      test_launch.test_flags_arrive_as_they_were_given(
        launch, value, place, patch
      )
    except AssertionError:
      executed = any(place.rglob('hacked'))
      return 'executed' if executed else 'arrives otherwise'
    except Exception as e:
      return f'another error ({type(e).__name__})'
  return 'arrives as it was given'


def _as_an_option(launch: Callable, script: str, option: str, value: str):
  commands = {
    'tpu_vm.sh': ['create', *test_launch.TPU],
    'gke.sh': ['print', *test_launch.GKE],
    'slurm.sh': test_launch.SLURM,
  }
  flags = [*commands[script], f'--{option}={value}']
  if script != 'tpu_vm.sh':
    flags += test_launch.TRAIN
  status, output, calls = launch(script, *flags)
  if any(pathlib.Path.cwd().glob('hacked')):
    return 'executed'
  if status == 2 and not calls and output.startswith(f'{script}: --{option}: '):
    one = output.count('\n') == 1
    return 'refused by name' if one else 'refused, in several lines'
  name = value and all(c.isalnum() or c in '-_.:/' for c in value)
  return 'taken, a plain name' if name and not status else f'status {status}'

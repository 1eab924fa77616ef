"""Two processes that do not agree: each must end, and one say in what."""

import functools
import os
import pathlib
import random
import shutil
import signal
import socket
import time

from tests.campaign import forked
from tests.processes import ROOT
from train_lib import agreement, joining

_LINEAR = 'tests/linear_task.py'
_SECONDS = 60
# What the second process has otherwise, and what the lines must name.
_OTHERWISE = {
  'seed': ('--config.seed={}', (1, 2, 77), 'config.seed'),
  'lr': ('--config.optim.schedule.lr={}', (0.5, 1e-5), 'config.optim.schedule'),
  'batch size': ('--config.data.batch_size={}', (32, 128), 'config.data.batch'),
  'steps': ('--config.num_steps={}', (5, 8), 'config.num_steps'),
  'split': ('--config.data.split={}', ('test',), 'config.data.split'),
  'mesh': ('--config.mesh.fsdp={}', (2,), 'config.mesh.fsdp'),
  'clipping': ('--config.optim.clip_norm={}', (1.0,), 'config.optim.clip_norm'),
  'best': ('--config.checkpoint.best_mode={}', ('min',), 'config.checkpoint'),
  'workdir': ('--workdir={}', ('elsewhere',), '--workdir'),
  'code': ('', ('',), 'config: '),
  'missing': ('', ('',), '--coordinator_address'),
}


def campaign(rng: random.Random, count: int, folder: pathlib.Path, report):
  """Starts pairs that differ; all kinds of difference, then some again."""
  names = list(_OTHERWISE) * (count // len(_OTHERWISE) + 1)
  first = names[: len(_OTHERWISE)]
  rng.shuffle(first)
  for number, name in enumerate([*first, *names][:count]):
    report(*_pair(name, rng, folder / str(number)))


def _pair(name: str, rng: random.Random, folder: pathlib.Path):
  """(kind, details) of two processes, the second of which is otherwise."""
  folder.mkdir()
  flag, values, named = _OTHERWISE[name]
  value = rng.choice(values)
  if name == 'workdir':
    value = folder / value
  with socket.socket() as s:
    s.bind(('localhost', 0))
    port = s.getsockname()[1]
  logs, running, began = [], {}, time.monotonic()
  for number in range(1 if name == 'missing' else 2):
    arguments = [
      f'--config={_LINEAR}',
      f'--workdir={folder / "run"}',
      '--config.data.batch_size=64',
      f'--coordinator_address=localhost:{port}',
      '--num_processes=2',
      f'--process_id={number}',
    ]
    body = functools.partial(forked.run_train, arguments)
    if number and name == 'code':
      body = functools.partial(_with_other_code, body, folder)
    elif number:
      arguments.append(flag.format(value))
    elif name == 'missing':
      body = functools.partial(_impatient, body)
    logs.append(folder / f'{number}.log')
    with open(logs[-1], 'wb') as log:
      running[forked.start(body, log.fileno(), log.fileno())] = None
  hung = _wait_for_all(running, began + 2 * _SECONDS)
  seconds = time.monotonic() - began
  texts = [log.read_text() for log in logs]
  details = f'{name} {value}: {running.values()}, {seconds:.0f} s'
  if hung:
    return 'hung', details
  if not all(running.values()):
    return 'trained on', details
  said = [line for text in texts for line in text.splitlines() if named in line]
  if not said or seconds > _SECONDS:
    return 'not named', details + ''.join(texts)[-900:]
  traces = any('Traceback' in text for text in texts)
  return ('named, and a traceback' if traces else 'named'), said[0]


def _impatient(body):
  joining._SECONDS = 15.0
  body()


def _with_other_code(body, folder: pathlib.Path):
  """As if a file of the second process had been changed."""
  for room in agreement._ROOMS:
    shutil.copytree(ROOT / room, folder / 'code' / room)
  with open(folder / 'code/train_lib/optim.py', 'a') as file:
    file.write('\n')
  agreement._ROOT = folder / 'code'
  body()


def _wait_for_all(running: dict, until: float) -> bool:
  """Fills in the exit statuses; whether some had to be ended."""
  hung = False
  while None in running.values():
    for process, status in running.items():
      if status is None and (found := os.waitpid(process, os.WNOHANG))[0]:
        running[process] = os.waitstatus_to_exitcode(found[1])
      elif status is None and time.monotonic() > until:
        hung = True
        os.kill(process, signal.SIGKILL)
    time.sleep(0.05)
  return hung

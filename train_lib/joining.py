"""Processes find each other, or end with a line that says who is missing."""

import os
import pathlib
import socket
import sys
import threading
import time

import jax

from train_lib import checks

_SECONDS = 90.0  # until all have to be there
_FIRST = 5.0  # seconds by which process 0, which counts them, ends first
_LATER = 30  # seconds after which JAX would end the process, and name nobody
# A process that is silent for so long is dead, and JAX ends all others.
_HEARTBEAT_SECONDS = 30
# How long a process that has ended waits for the others to do so.
_SHUTDOWN_SECONDS = 60
_ESTABLISHED = '01'  # the state of a connection in /proc/net/tcp


def join(
  address: str | None, num_processes: int | None, process_id: int | None
) -> None:
  """Joins the other processes; ends this one if some do not come.

  Args:
    address: host:port of process 0; None where a launcher tells.
    num_processes: likewise.
    process_id: likewise.
  """
  joined = threading.Event()
  threading.Thread(
    target=_watch,
    args=(joined, address, num_processes, process_id),
    daemon=True,
  ).start()
  jax.distributed.initialize(
    address,
    num_processes,
    process_id,
    initialization_timeout=round(_SECONDS) + _LATER,
    heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
    shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
  )
  joined.set()


def _watch(joined: threading.Event, address, num_processes, process_id) -> None:
  began = time.monotonic()
  if joined.wait(_SECONDS):
    return
  address, num_processes, process_id = _detected(
    address, num_processes, process_id
  )
  seconds, present = time.monotonic() - began, _present(address, process_id)
  if process_id and joined.wait(_FIRST):
    return
  print(
    f'{checks.program()}: --coordinator_address: process '
    f'{process_id} has waited {seconds:.0f} s at {address}; expected '
    f'{num_processes} processes, found {present}.',
    file=sys.stderr,
    flush=True,
  )
  os._exit(1)


def _detected(*values):
  """What JAX has learnt of the launcher in the place of None."""
  try:
    from jax._src import distributed  # There is no other way to ask for it.

    state = distributed.global_state
    found = state.coordinator_address, state.num_processes, state.process_id
  except (ImportError, AttributeError):
    found = (None, None, None)
  return tuple(
    y if x is None else x for x, y in zip(values, found, strict=True)
  )


def _present(address: str | None, process_id: int | None) -> str:
  """How many processes are there, as far as this one can see."""
  host, _, port = (address or '').rpartition(':')
  if process_id == 0 and port:
    connected = _connections(int(port))
    return 'this one' if connected is None else f'{connected} of them'
  try:
    socket.create_connection((host, int(port)), timeout=5).close()
  except (OSError, ValueError) as e:
    return f'nobody there ({e}): process 0 has not begun, or has ended'
  return 'process 0, which knows how many are missing'


def _connections(port: int) -> int | None:
  """How many others, and this process itself, are connected to a port here."""
  found = set()
  try:
    for name in ('tcp', 'tcp6'):
      lines = pathlib.Path('/proc/net', name).read_text().splitlines()[1:]
      for line in lines:
        _, local, remote, state, *_ = line.split()
        if state == _ESTABLISHED and int(local.rpartition(':')[2], 16) == port:
          found.add((name, remote))
  except (OSError, ValueError):
    return None  # Not on Linux.
  return max(len(found), 1)

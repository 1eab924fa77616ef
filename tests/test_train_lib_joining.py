"""Processes that wait for one that never starts say who is there."""

import socket
import subprocess
import sys

import pytest

from tests.processes import ROOT, environment
from train_lib import joining

PROGRAM = """
import sys
from train_lib import joining
joining._SECONDS = {seconds}
joining.join('{address}', {count}, {number})
print('joined')
"""


def start(address, number, count, seconds=6.0):
  program = PROGRAM.format(
    address=address, number=number, count=count, seconds=seconds
  )
  return subprocess.Popen(
    [sys.executable, '-c', program],
    cwd=ROOT,
    env=environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.fixture
def address():
  with socket.socket() as s:
    s.bind(('localhost', 0))
    return f'localhost:{s.getsockname()[1]}'


@pytest.mark.full
def test_two_of_three_say_who_is_there(address):
  # The first to say so sees process 0, and goes on waiting while that counts.
  processes = [start(address, number, 3, 8 - 4 * number) for number in (0, 1)]
  errors = [process.communicate(timeout=60)[1] for process in processes]
  assert [process.returncode for process in processes] == [1, 1]
  for error in errors:
    assert error.count('\n') == 1 and 'expected 3 processes' in error
    assert address in error
  assert 'found 2 of them' in errors[0]
  assert 'found process 0, which knows' in errors[1]


@pytest.mark.full
def test_a_process_without_the_first_says_so(address):
  process = start(address, 1, 2, seconds=2.0)
  error = process.communicate(timeout=60)[1]
  assert process.returncode == 1
  assert f'at {address}; expected 2 processes, found nobody there' in error
  assert error.count('\n') == 1


def test_connections_are_counted():
  """Three to one port; those to another are none of them."""
  with socket.create_server(('localhost', 0)) as server:
    port = server.getsockname()[1]
    assert joining._connections(port) == 1  # this process, at least
    others = [socket.create_connection(('localhost', port)) for _ in range(3)]
    accepted = [server.accept()[0] for _ in others]
    assert joining._connections(port) == 3
    for connection in others + accepted:
      connection.close()


def test_it_takes_one_to_two_minutes():
  assert 60 <= joining._SECONDS + joining._FIRST <= 120

"""The playground's server as tests meet it: real, on a port of its own."""

import base64
import contextlib
import http.client
import json
import threading
import time

from configs.paca_vit import digits_on_photos
from tests import exported_runs
from tools.playground import __main__ as playground
from tools.playground.runs import Run
from train_lib import run_files


def small_config(depths=(1, 2)):
  """Of a PaCa-ViT that compiles in seconds."""
  config = digits_on_photos.get_config('tiny')
  config.model.update(channels=(4, 8), depths=depths, num_clusters=(5, 3))
  config.model.num_heads = (1, 1)
  return config


def make_run(folder, config, classes=None):
  """An opened run of random weights."""
  folder.mkdir(parents=True, exist_ok=True)
  workdir = exported_runs.make_run(folder, config, classes)
  return Run(workdir, run_files.read_config(workdir))


@contextlib.contextmanager
def serving(runs, wait=True):
  """Yields the port; the runs warm up, and are ready unless wait is False."""
  listener = playground.listen(0)
  server = playground.serve(runs, listener)
  thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
  thread.start()
  try:
    while wait and not all(run.is_ready for run in runs):
      failed = [x for run in runs if (x := run.about())['status'] == 'failed']
      assert not failed, failed
      time.sleep(0.02)
    yield listener.getsockname()[1]
  finally:
    server.should_exit = True
    thread.join()


def request(port, method, path, body=None, **headers):
  """(status, headers, bytes); a header of None is left out.

  What is no HTTP is refused before its body is read: the connection is then
  reset, perhaps when nothing but the status was received.
  """
  given = {'Host': f'127.0.0.1:{port}', 'Content-Type': 'application/json'}
  given |= {name.replace('_', '-'): x for name, x in headers.items()}
  connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
  connection.putrequest(method, path, skip_host=True)
  for name, value in given.items():
    for x in value if isinstance(value, list) else [value]:
      if x is not None:
        connection.putheader(name, x)
  if body is not None:
    if not isinstance(body, bytes):
      body = json.dumps(body).encode()
    if 'Content-Length' not in given:
      connection.putheader('Content-Length', str(len(body)))
  connection.endheaders(body)
  reply = connection.getresponse()
  try:
    held = reply.read()
  except ConnectionResetError:
    assert reply.status == 400
    held = b''
  connection.close()
  return reply.status, dict(reply.getheaders()), held


def ask(port, path='/api/answer', **body):
  """The answer, which must be one."""
  status, _, held = request(port, 'POST', path, {'run': 0} | body)
  assert status == 200, held
  return json.loads(held)


def as_text(held):
  return base64.b64encode(held).decode()

"""`tools.export --push`: to a hub that a local server stands for.

make parity
"""

import base64
import http.server
import json
import subprocess
import sys
import threading

import pytest

from tests import linear_task
from tests.exported_runs import make_run
from tests.processes import ROOT, environment

REPOSITORY = 'somebody/digits'


class Hub(http.server.BaseHTTPRequestHandler):
  """Takes small files, as huggingface.co does; `server.files` has them."""

  def do_GET(self):
    self.reply({'id': REPOSITORY, 'siblings': []})

  def do_POST(self):
    body = self.rfile.read(int(self.headers['Content-Length']))
    self.server.tokens.add(self.headers.get('Authorization'))
    if '/preupload/' in self.path:
      files = json.loads(body)['files']
      self.reply(
        {
          'files': [
            dict(path=x['path'], uploadMode='regular', shouldIgnore=False)
            for x in files
          ]
        }
      )
    elif '/commit/' in self.path:
      for line in map(json.loads, body.splitlines()):
        if line['key'] == 'file':
          content = base64.b64decode(line['value']['content'])
          self.server.files[line['value']['path']] = content
      self.reply({'commitUrl': f'{self.own}/commit/1', 'commitOid': '1'})
    else:
      self.server.created.append((self.path, json.loads(body)))
      self.reply({'url': self.own, 'errors': []})

  @property
  def own(self):
    return f'http://{self.headers["Host"]}/{REPOSITORY}'

  def reply(self, content):
    data = json.dumps(content).encode()
    self.send_response(200)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(data)))
    self.end_headers()
    self.wfile.write(data)

  def log_message(self, *args):
    pass


@pytest.fixture
def hub():
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hub)
  server.files, server.tokens, server.created = {}, set(), []
  threading.Thread(target=server.serve_forever, daemon=True).start()
  yield server
  server.shutdown()
  server.server_close()


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return make_run(tmp_path_factory.mktemp('run'), linear_task.get_config())


def export(workdir, folder, **variables):
  return subprocess.run(
    [sys.executable, '-m', 'tools.export', f'--workdir={workdir}']
    + ['--format=safetensors', f'--output={folder}', f'--push={REPOSITORY}'],
    cwd=ROOT,
    env=environment(HF_HOME=str(folder.parent), **variables),
    capture_output=True,
    text=True,
  )


def test_the_folder_is_what_the_hub_gets(workdir, hub, tmp_path):
  endpoint = f'http://127.0.0.1:{hub.server_port}'
  done = export(
    workdir, tmp_path / 'x', HF_ENDPOINT=endpoint, HF_TOKEN='secret'
  )
  assert done.returncode == 0, done.stderr
  assert f'{endpoint}/{REPOSITORY}/commit/1' in done.stdout
  assert hub.tokens == {'Bearer secret'}
  assert any('private' in str(body) for _, body in hub.created), hub.created
  written = {p.name: p.read_bytes() for p in (tmp_path / 'x').iterdir()}
  assert hub.files == written
  assert set(written) == {'model.safetensors', 'model.json', 'README.md'}
  assert written['README.md'].startswith(b'---\nlibrary_name: ')


def test_without_a_token_nothing_is_sent(workdir, hub, tmp_path):
  endpoint = f'http://127.0.0.1:{hub.server_port}'
  done = export(workdir, tmp_path / 'x', HF_ENDPOINT=endpoint)
  assert done.returncode == 0, done.stderr
  assert f'hf upload {REPOSITORY} {tmp_path / "x"}' in done.stdout
  assert not hub.tokens and (tmp_path / 'x' / 'README.md').exists()


def test_a_hub_that_does_not_answer_is_one_line(workdir, tmp_path):
  done = export(
    workdir, tmp_path / 'x', HF_ENDPOINT='http://127.0.0.1:9', HF_TOKEN='secret'
  )
  assert done.returncode == 1 and 'Traceback' not in done.stderr
  assert f'--push: {REPOSITORY} was not uploaded' in done.stderr
  assert (tmp_path / 'x' / 'model.safetensors').exists()

"""The playground answers as predict.py does, and refuses what it should."""

import base64
import functools
import http.client
import io
import json
import threading
import time

import jax
import numpy as np
import PIL.Image
import pytest

import predict
from data.images import predictions
from paca_vit import relevance
from tests import exported_runs
from tests.playground_refusals import BODIES, OK, PATHS, PICTURE, REFUSED
from tests.playground_servers import (
  as_text,
  ask,
  make_run,
  request,
  serving,
  small_config,
)
from tools.playground import __main__ as playground
from tools.playground import inputs
from train_lib import run_files, sharding, trained

CLUSTERS = {'stage_1': 5, 'stage_2': 3}


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp('playground') / 'small'
  folder.mkdir()
  return exported_runs.make_run(folder, small_config())


@pytest.fixture(scope='module')
def port(workdir):
  config = run_files.read_config(workdir)
  with serving([playground.Run(workdir, config)]) as port:
    yield port


class ByHand:
  """The model itself, of PICTURE."""

  def __init__(self, workdir):
    config = run_files.read_config(workdir)
    kind = predictions.make_predictions(config, None)
    image = kind.example(PICTURE)['image'][None]
    mesh = sharding.make_mesh(config.mesh)
    batch = {'image': np.repeat(image, mesh.size, 0)}
    task, state = trained.load(config, workdir, mesh, batch)
    variables = jax.device_get(state.eval_variables)

    @jax.jit
    def logits(scales):
      scales = {name: x[None] for name, x in scales.items()}
      return relevance.apply_scaled(task.model, variables, image, scales)[0][0]

    self.logits = logits

  def probabilities(self, **off):
    scales = {name: np.ones(n, np.float32) for name, n in CLUSTERS.items()}
    for name, clusters in off.items():
      scales[name][clusters] = 0
    return np.asarray(jax.nn.softmax(self.logits(scales)))

  def slope(self, name, m, best, step=0.02):
    """Of a class's logit by the factor on a cluster, by differences."""
    found = []
    for sign in (1, -1):
      scales = {name: np.ones(n, np.float32) for name, n in CLUSTERS.items()}
      scales[name][m] += sign * step
      found.append(float(self.logits(scales)[best]))
    return (found[0] - found[1]) / (2 * step)


@pytest.fixture(scope='module')
def by_hand(workdir):
  return ByHand(workdir)


@pytest.mark.full
def test_an_answer_is_what_predict_says(port, workdir):
  answer = ask(port, picture=as_text(PICTURE))
  (found,) = predict.load(workdir)([PICTURE])
  probabilities = answer['probabilities']
  assert len(probabilities) == 10
  assert int(np.argmax(probabilities)) == found.values['label']
  np.testing.assert_allclose(
    max(probabilities), found.values['probability'], atol=2e-5
  )


@pytest.mark.full
def test_a_cluster_that_is_off_is_gone_from_every_block(port, by_hand):
  """And all on, which another path computes, is no cluster off."""
  ask_with = functools.partial(ask, port, picture=as_text(PICTURE))
  for off in ({}, {'stage_1': [4]}, {'stage_1': [0, 4], 'stage_2': [1, 2]}):
    np.testing.assert_allclose(
      ask_with(off=off)['probabilities'],
      by_hand.probabilities(**off),
      atol=2e-5,
    )
  without = by_hand.probabilities(stage_2=[0, 1, 2])
  assert np.abs(by_hand.probabilities() - without).max() > 1e-3
  assert ask_with(off={'stage_1': []})['layers']  # as if nothing was off


def test_maps_and_relevance_are_the_models(port, by_hand):
  answer = ask(port, picture=as_text(PICTURE))
  layers = {layer['name']: layer for layer in answer['layers']}
  assert {name: x['shape'][0] for name, x in layers.items()} == CLUSTERS
  best = int(np.argmax(answer['probabilities']))
  for name, layer in layers.items():
    shares = np.frombuffer(base64.b64decode(layer['data']), np.uint8)
    maps = shares.reshape(layer['shape']) / 255
    maps *= np.float32(layer['largest'])[:, None, None]
    # Weights of a cluster sum to 1 over the patches, but for rounding.
    np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=0.03)
    for m, found in enumerate(layer['relevance']):
      expected = by_hand.slope(name, m, best)
      assert found == pytest.approx(expected, rel=0.02, abs=2e-4)
    assert max(map(abs, layer['relevance'])) > 1e-3
  assert answer['seen'].startswith('data:image/png;base64,')
  seen = base64.b64decode(answer['seen'].partition(',')[2])
  assert PIL.Image.open(io.BytesIO(seen)).size == (256, 256)


def test_the_page_and_what_runs_are(port):
  status, headers, page = request(port, 'GET', '/')
  assert status == 200 and headers['content-type'].startswith('text/html')
  policy = headers['content-security-policy']
  assert "default-src 'none'" in policy and 'unsafe' not in policy
  assert headers['x-frame-options'] == 'DENY'
  assert b'http://' not in page and b'https://' not in page
  assert b'src="' not in page  # no script or picture of another address
  (run,) = json.loads(request(port, 'GET', '/api/runs')[2])['runs']
  assert run['status'] == 'ready' and run['takes'] == 'picture'
  assert run['sizes'] == CLUSTERS and run['name'] == 'small'


def test_examples_are_the_evaluations_own(port):
  found = ask(port, '/api/example', index=3)
  (url,) = found['pictures']
  picture = PIL.Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2])))
  assert picture.size == (64, 64) and 0 <= int(found['label']) <= 9
  assert found != ask(port, '/api/example', index=4)
  answer = ask(port, picture=url.partition(',')[2])
  assert answer['probabilities']


def test_requests_at_once_each_get_their_own_answer(port):
  """Two tabs, with different clusters off."""
  offs = [{}, {'stage_1': [0]}, {'stage_2': [0, 1]}, {'stage_2': [2]}]
  alone = [ask(port, picture=as_text(PICTURE), off=off) for off in offs]
  found = [None] * 8

  def run(i):
    found[i] = ask(port, picture=as_text(PICTURE), off=offs[i % 4])

  threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for i, answer in enumerate(found):
    assert answer['probabilities'] == alone[i % 4]['probabilities']


def check_refused(port, status, text, found):
  assert found[0] == status, found
  assert found[1].get('x-content-type-options') == 'nosniff' or not text
  assert 'access-control-allow-origin' not in found[1]
  if text:
    error = json.loads(found[2])['error']
    assert text in error and '\n' not in error and 'Traceback' not in error
  assert ask(port, picture=OK['picture'])['probabilities']  # It still serves.


@pytest.mark.parametrize('name', REFUSED)
def test_requests_of_others_are_refused(port, name):
  status, text, headers = REFUSED[name]
  headers = {
    k.replace('-', '_'): [x.format(port=port) for x in v]
    if isinstance(v, list)
    else v and v.format(port=port)
    for k, v in headers.items()
  }
  found = request(port, 'POST', '/api/answer', OK, **headers)
  check_refused(port, status, text, found)


@pytest.mark.parametrize('name', BODIES)
def test_wrong_bodies_are_refused(port, name):
  status, text, body = BODIES[name]
  found = request(port, 'POST', '/api/answer', body)
  check_refused(port, status, text, found)


@pytest.mark.parametrize('line', PATHS)
def test_no_other_address_answers(port, line):
  found = request(port, *line.split())
  assert found[0] == PATHS[line]
  assert b'root:' not in found[2]
  if found[0] != 200:
    assert found[1]['x-frame-options'] == 'DENY'


def test_a_body_that_declares_no_length_is_cut(port):
  """In chunks, more than is taken: refused as soon as it is too much."""
  connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
  chunk = b'x' * 2**20
  chunks = (chunk for _ in range(inputs.MAX_BODY // 2**20 + 8))
  try:
    connection.request(
      *('POST', '/api/answer', chunks),
      headers={'Content-Type': 'application/json'},
      encode_chunked=True,
    )
    assert connection.getresponse().status == 413
  except (BrokenPipeError, ConnectionResetError):
    pass  # The server hung up before all was sent.
  connection.close()
  assert ask(port, picture=OK['picture'])['probabilities']


def test_own_pages_may_ask(port):
  for name in ('127.0.0.1', 'localhost'):
    found = request(
      *(port, 'POST', '/api/answer', OK),
      Host=f'{name}:{port}',
      Origin=f'http://{name}:{port}',
      Sec_Fetch_Site='same-origin',
    )
    assert found[0] == 200


def test_until_a_run_is_ready_it_says_so(tmp_path):
  run = make_run(tmp_path / 'slow', small_config())
  started, go_on = threading.Event(), threading.Event()

  def waiting(asked):  # where it would compile
    started.set()
    go_on.wait(60)
    return {}

  run._answer = waiting
  with serving([run], wait=False) as port:
    started.wait(60)
    (about,) = json.loads(request(port, 'GET', '/api/runs')[2])['runs']
    assert about['status'] == 'warming' and about['steps'] == 2
    status, _, held = request(port, 'POST', '/api/answer', OK)
    assert status == 503 and 'not ready' in json.loads(held)['error']
    go_on.set()
    while not run.is_ready:
      time.sleep(0.01)


def test_a_run_that_cannot_be_warmed_up_says_why(tmp_path, capsys):
  run = make_run(tmp_path / 'broken', small_config())

  def broken(asked):
    raise FileNotFoundError('no\ncheckpoint')

  run._answer = broken
  playground.warm_up([run])
  about = run.about()
  assert about['status'] == 'failed' and not run.is_ready
  assert about['doing'] == 'FileNotFoundError: no checkpoint'
  assert 'Traceback' in capsys.readouterr().err

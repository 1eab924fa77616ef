"""The page's server: on this machine alone, for pages that it served itself.

Three addresses answer: the page, what the runs are, and what a run says. Every
request must name this machine as its host, so that no foreign name that leads
here is believed (DNS rebinding), and must come from no foreign page. Nothing is
looked up by a name that a client chooses, and nothing is kept between requests.
"""

import asyncio
import base64
import hashlib
import pathlib
import re
from collections.abc import Sequence

import starlette.applications
import starlette.datastructures
import starlette.exceptions
import starlette.requests
import starlette.responses
import starlette.routing
from starlette.concurrency import run_in_threadpool

from tools.playground import inputs
from tools.playground.runs import Run
from train_lib import strict_json

_PAGE = pathlib.Path(__file__).with_name('page.html')
_AT_ONCE = 8  # requests that wait for an answer
_HEADERS = {
  'Cache-Control': 'no-store',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
}
Request = starlette.requests.Request
HTTPException = starlette.exceptions.HTTPException


def make_app(runs: Sequence[Run], port: int) -> 'Guard':
  """The application.

  Args:
    runs: what is asked by number.
    port: that it is served at.
  """
  page = _PAGE.read_text(encoding='utf-8')
  policy = content_policy(page)
  waiting = asyncio.Semaphore(_AT_ONCE)

  async def get_page(request: Request):
    del request
    return starlette.responses.HTMLResponse(
      page, headers={'Content-Security-Policy': policy}
    )

  async def get_runs(request: Request):
    del request
    return as_json({'runs': [run.about() for run in runs]})

  async def ask(request: Request, method: str):
    body = inputs.loads(await read_body(request))
    run = runs[inputs.integer(body, 'run', len(runs))]
    if method == 'example':
      inputs.known_fields(body, 'index')
      given = inputs.integer(body, 'index', 2**31)
    else:
      given = body
      if not run.is_ready:
        raise HTTPException(503, f'{run.name} is not ready yet.')
    if waiting.locked():
      raise HTTPException(503, 'Too many requests at once.')
    async with waiting:
      return as_json(await run_in_threadpool(getattr(run, method), given))

  async def answer(request: Request):
    return await ask(request, 'answer')

  async def example(request: Request):
    return await ask(request, 'example')

  app = starlette.applications.Starlette(
    routes=[
      starlette.routing.Route('/', get_page),
      starlette.routing.Route('/api/runs', get_runs),
      starlette.routing.Route('/api/answer', answer, methods=['POST']),
      starlette.routing.Route('/api/example', example, methods=['POST']),
    ],
    exception_handlers={
      HTTPException: lambda _, e: as_json({'error': e.detail}, e.status_code),
      inputs.Refused: lambda _, e: as_json({'error': _one_line(e)}, 400),
      Exception: lambda *_: as_json(
        {'error': 'The server failed; its terminal says how.'}, 500
      ),
    },
  )
  return Guard(app, port)


class Guard:
  """Lets requests of this machine's own pages through, and adds headers."""

  def __init__(self, app, port: int):
    self._app = app
    self._hosts = {f'{name}:{port}' for name in ('127.0.0.1', 'localhost')}

  async def __call__(self, scope, receive, send):
    if scope['type'] != 'http':
      if scope['type'] == 'lifespan':
        await self._app(scope, receive, send)
      return  # A web socket is closed.

    async def send_with_headers(message):
      if message['type'] == 'http.response.start':
        message['headers'] += [
          (name.lower().encode(), x.encode()) for name, x in _HEADERS.items()
        ]
      await send(message)

    refused = self._refused(starlette.datastructures.Headers(scope=scope))
    app = self._app if refused is None else as_json({'error': refused}, 403)
    await app(scope, receive, send_with_headers)

  def _refused(self, headers) -> str | None:
    if headers.getlist('host') not in [[host] for host in self._hosts]:
      return 'Host: expected this machine; open the address that was printed.'
    origins = {f'http://{host}' for host in self._hosts}
    if not set(headers.getlist('origin')) <= origins:
      return 'Origin: expected a page of this server.'
    if headers.get('sec-fetch-site', 'none') not in ('same-origin', 'none'):
      return 'Sec-Fetch-Site: expected a page of this server.'
    return None


async def read_body(request: Request) -> bytes:
  """Raises an HTTPException if it is no JSON, or too long."""
  kind = request.headers.get('content-type', '').partition(';')[0].strip()
  if kind.lower() != 'application/json':
    raise HTTPException(415, 'Content-Type: expected application/json.')
  if request.headers.get('content-encoding'):
    raise HTTPException(415, 'Content-Encoding: expected none.')
  too_long = HTTPException(
    413, f'expected at most {inputs.MAX_BODY // 2**20} MiB in all.'
  )
  declared = request.headers.get('content-length', '0')
  if declared.isdecimal() and int(declared) > inputs.MAX_BODY:
    raise too_long
  body = bytearray()
  async for chunk in request.stream():
    body += chunk
    if len(body) > inputs.MAX_BODY:
      raise too_long
  return bytes(body)


def content_policy(page: str) -> str:
  """Of a page: only its own style and script, and nothing from elsewhere."""
  hashes = {}
  for tag in ('script', 'style'):
    (text,) = re.findall(f'<{tag}>(.*?)</{tag}>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest())
    hashes[tag] = f"'sha256-{digest.decode()}'"
  return (
    f"default-src 'none'; script-src {hashes['script']}; "
    f'style-src {hashes["style"]}; img-src data: blob:; media-src data: blob:; '
    "connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
  )


def as_json(value, status: int = 200) -> starlette.responses.Response:
  return starlette.responses.Response(
    strict_json.dumps(value, ensure_ascii=False, separators=(',', ':')),
    status,
    media_type='application/json',
  )


def _one_line(error: Exception) -> str:
  return ' '.join(str(error).split())[:400]

"""Requests that the playground must refuse, and with what."""

import struct
import zlib

from tests import odd_images
from tests.playground_servers import as_text

PICTURE = odd_images.encode(odd_images.COLOURS, 'PNG')


def bomb(side):
  """A PNG of few bytes that claims so many pixels."""
  header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
  chunk = b'IHDR' + header
  start = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', len(header)) + chunk
  return start + struct.pack('>I', zlib.crc32(chunk)) + PICTURE[33:]


OK = {'run': 0, 'picture': as_text(PICTURE)}
# name: (status, part of the error, headers)
REFUSED = {
  'foreign origin': (403, 'Origin', {'Origin': 'http://evil.example'}),
  'origin of another port': (403, 'Origin', {'Origin': 'http://127.0.0.1:1'}),
  'origin null': (403, 'Origin', {'Origin': 'null'}),
  'https origin': (403, 'Origin', {'Origin': 'https://127.0.0.1:{port}'}),
  'foreign host': (403, 'Host', {'Host': 'evil.example'}),
  'rebound host': (403, 'Host', {'Host': 'evil.example:{port}'}),
  'host without port': (403, 'Host', {'Host': '127.0.0.1'}),
  'no host': (400, '', {'Host': None}),
  'two hosts': (400, '', {'Host': ['127.0.0.1:{port}', 'evil.example']}),
  'cross-site fetch': (403, 'Sec-Fetch-Site', {'Sec-Fetch-Site': 'cross-site'}),
  'form': (415, 'json', {'Content-Type': 'application/x-www-form-urlencoded'}),
  'plain text': (415, 'json', {'Content-Type': 'text/plain'}),
  'no content type': (415, 'json', {'Content-Type': None}),
  'compressed': (415, 'Encoding', {'Content-Encoding': 'gzip'}),
  'declared too long': (413, 'MiB', {'Content-Length': str(2**40)}),
}
BODIES = {  # name: (status, part of the error, body)
  'nothing': (400, 'JSON', b''),
  'no JSON': (400, 'JSON', b'{"run": 0,'),
  'no UTF-8': (400, 'JSON', b'{"run": "\xff"}'),
  'a list': (400, 'object', [0]),
  'nested without end': (400, 'JSON', b'[' * 200_000),
  'NaN': (400, 'NaN', b'{"run": NaN}'),
  'infinity': (400, 'Infinity', b'{"run": 0, "off": {"stage_1": [Infinity]}}'),
  'no run': (400, 'run: expected', {'picture': OK['picture']}),
  'run out of range': (400, 'expected 0 to 0', OK | {'run': 1}),
  'negative run': (400, 'expected 0 to 0', OK | {'run': -1}),
  'run as truth': (400, 'whole number', OK | {'run': True}),
  'run as fraction': (400, 'whole number', OK | {'run': 0.5}),
  'unknown field': (400, "'path'", OK | {'path': '/etc/passwd'}),
  'no picture': (400, 'picture: expected a file', {'run': 0}),
  'picture as path': (400, 'base64', OK | {'picture': '/etc/passwd!'}),
  'picture as address': (400, 'base64', OK | {'picture': 'file:///etc/x'}),
  'empty picture': (400, 'empty', OK | {'picture': ''}),
  'wrong base64': (400, 'base64', OK | {'picture': 'a' * 5}),
  'text as picture': (
    400,
    'expected an image',
    OK | {'picture': as_text(b'?')},
  ),
  'half a picture': (400, 'broken', OK | {'picture': as_text(PICTURE[:60])}),
  'svg': (400, 'image', OK | {'picture': as_text(b'<svg xmlns="x"/>')}),
  'postscript': (400, 'image', OK | {'picture': as_text(b'%!PS-Adobe-3.0\n')}),
  'bomb': (400, 'too many', OK | {'picture': as_text(bomb(8_000))}),
  'large bomb': (400, 'image', OK | {'picture': as_text(bomb(60_000))}),
  'off as list': (400, 'off: expected', OK | {'off': [1]}),
  'off of no stage': (400, "'stage_9'", OK | {'off': {'stage_9': [0]}}),
  'cluster out of range': (400, '0 to 4', OK | {'off': {'stage_1': [5]}}),
  'negative cluster': (400, '0 to 4', OK | {'off': {'stage_1': [-1]}}),
  'huge cluster': (400, '0 to 2', OK | {'off': {'stage_2': [10**30]}}),
  'cluster as text': (400, 'whole number', OK | {'off': {'stage_1': ['0']}}),
  'clusters as number': (400, 'list', OK | {'off': {'stage_1': 3}}),
}
PATHS = {  # request: status
  'GET /etc/passwd': 404,
  'GET /../../etc/passwd': 404,
  'GET /%2e%2e/%2e%2e/etc/passwd': 404,
  'GET /page.html': 404,
  'GET //etc/passwd': 404,
  'GET /api/answer': 405,
  'GET /api/': 404,
  'GET /?file=/etc/passwd': 200,  # The page: nobody reads what is asked.
  'PUT /': 405,
  'DELETE /api/runs': 405,
  'POST /': 405,
  'POST /api/runs': 405,
  'POST /api/nothing': 404,
  'OPTIONS /api/answer': 405,
  'TRACE /': 405,
}

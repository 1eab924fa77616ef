"""Google's storage in this process's memory, as far as runs need it.

It is what `epath` and the lock see of gs://, in milliseconds and without a
client; the whole path, over HTTP, is in tests/test_train_in_bucket.py.
"""

import importlib
from collections.abc import Iterator

from etils.epath import backend
from fsspec.implementations.memory import MemoryFileSystem

from train_lib import places


class Bucket(MemoryFileSystem):
  """Objects have a generation, and a note that may be patched.

  Attributes:
    puts: how often each object was written.
    broken: whether every request fails.
  """

  protocol = 'gs', 'gcs'
  store, pseudo_dirs = {}, ['']
  notes, puts, broken = {}, {}, False

  @classmethod
  def _strip_protocol(cls, path):
    path = str(path).removeprefix('gs://').removeprefix('gcs://')
    return '/' + path.strip('/') if path.strip('/') else ''

  def _open(self, path, mode='rb', **options):
    self._count(path, mode)
    return super()._open(path, mode, **options)

  def pipe_file(self, path, value, mode='overwrite', **options):
    self._count(path, 'wb')
    super().pipe_file(path, value, mode=mode, **options)
    generation = self.notes.get(self._strip_protocol(path), (0, None))[0] + 1
    self.notes[self._strip_protocol(path)] = generation, None

  def _count(self, path, mode):
    if type(self).broken:
      raise RuntimeError('503 Service Unavailable')
    if mode[0] == 'w':
      name = self._strip_protocol(path)
      self.puts[name] = self.puts.get(name, 0) + 1

  def find(self, path, **options):
    return [x.lstrip('/') for x in super().find(path, **options)]

  def call(self, method, template, bucket, name, **options):
    """GET, PATCH and DELETE of an object, with ifGenerationMatch."""
    path = f'/{bucket}/{name}'
    if path not in self.store:
      raise FileNotFoundError(path)
    generation, note = self.notes[path]
    if options.get('ifGenerationMatch', generation) != generation:
      raise FileExistsError(path)
    if method == 'PATCH':
      note = options['json']['metadata']
      self.notes[path] = generation, note
    if method == 'DELETE':
      del self.store[path]
    return {'generation': generation, 'metadata': note}


def installed(monkeypatch) -> Iterator[Bucket]:
  """For a fixture: gs:// is an empty `Bucket` for one test."""
  Bucket.store, Bucket.pseudo_dirs, Bucket.broken = {}, [''], False
  Bucket.notes, Bucket.puts = {}, {}
  registry = importlib.import_module('fsspec.registry')
  for name in Bucket.protocol:
    monkeypatch.setitem(registry._registry, name, Bucket)
  backend.fsspec_backend._get_filesystem.cache_clear()
  monkeypatch.setattr(places, '_has_client', lambda: True)
  yield places.client()
  backend.fsspec_backend._get_filesystem.cache_clear()

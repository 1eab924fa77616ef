"""Pickles read as data: arrays and plain containers; nothing is executed.

A pickle is a program, and what it can do is what the names in it stand for.
Here a name stands for one of the functions below, which make data of data, or
it is refused. A small file can also ask for much: it is refused before it gets
more memory than a few times its size, or more than some seconds.
"""

import itertools
import os
import pickle
from collections.abc import Callable, Collection, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

_MAX_INSTRUCTIONS = 300_000  # of a file; published ones have ten thousand
# Bytes of arrays that a file may name beyond twice its size: tied weights.
_SHARED_BYTES = 2**27


class RefusedError(ValueError):
  """A file holds something other than arrays and plain containers."""


def load(
  file: IO[bytes],
  names: Mapping[str, Callable[..., Any]] | None = None,
  persistent_load: Callable[[Any], Any] | None = None,
  ignore: Collection[str] = (),
  stored: int = 0,
) -> Any:
  """Reads dicts, lists, tuples, numbers, strings and numpy or JAX arrays.

  Args:
    file: what `pickle.dump` wrote, of any protocol and any numpy.
    names: further names that may occur, 'module.name' -> what a call of it
      makes. Named types of numbers may stand for a dtype.
    persistent_load: what the file's references to something outside of it are.
    ignore: names of what is read as nothing, though it is not known.
    stored: bytes of what `persistent_load` refers to.

  Returns:
    The tree; arrays are numpy's.

  Raises:
    RefusedError: naming what else the file holds.
    ValueError: the file is no pickle, or damaged.
  """
  try:
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    reader = _Reader(file, size)
    unpickler = _Unpickler(reader, names or {}, persistent_load, ignore)
    return _Plain(size, size + stored).tree(unpickler.load())
  except RefusedError:
    raise
  except Exception as e:  # Damaged files raise almost anything.
    raise ValueError(f'The pickle cannot be read: {e!r:.200}.') from e


class _Reader:
  """Never makes room for more than the file has."""

  def __init__(self, file: IO[bytes], size: int):
    self._file, self._size = file, size
    self.readline = file.readline

  def read(self, size: int) -> bytes:
    return self._file.read(min(size, self._size))


# The one that is written in Python: the other makes room for as many memories
# as a number in the file says.
class _Unpickler(pickle._Unpickler):
  def __init__(self, file, names, persistent_load, ignore):
    super().__init__(file)
    # What is encoded again and again is kept once.
    self._names = {**_NAMES, '_codecs.encode': _Encode(), **names}
    self._persistent_load = persistent_load
    self._ignore = ignore
    self.dispatch = _Instructions(_INSTRUCTIONS)

  def find_class(self, module, name):
    full = f'{module}.{name}'
    if full in self._names:
      return _Name(full, self._names[full])
    if full in self._ignore:
      return _Nothing
    raise RefusedError(
      f'The file refers to {full!r}; only arrays and plain containers are '
      'read. It was not imported, and nothing was executed.'
    )

  def persistent_load(self, pid):
    if self._persistent_load is None:
      raise RefusedError(f'The file refers to {pid!r}, outside of it.')
    return self._persistent_load(pid)


class _Name(NamedTuple):
  """What a name becomes; nothing can be set on it, so that none can change."""

  name: str
  make: Callable[..., Any] | np.dtype | None

  def __call__(self, *args):
    if not callable(self.make):
      raise RefusedError(f'The file calls {self.name!r}.')
    return self.make(*args)


class _Nothing:
  """Takes whatever a pickle does to an object, and is nothing."""

  __slots__ = ()

  def __new__(cls, *args, **kwargs):
    return object.__new__(cls)

  def __init__(self, *args, **kwargs):
    pass

  def _take(self, *args):
    pass

  __setstate__ = append = extend = __setitem__ = add = _take


def _checked_key(key):
  """Others can be chosen so that a dict of them takes forever."""
  if isinstance(key, str | bytes | None) or (
    isinstance(key, int) and abs(key) < 2**31
  ):
    return key
  raise RefusedError(
    f'The file has a dict with a {type(key).__name__} as a key, expected names.'
  )


def _make_dict(items=()):
  """A dict of another one or of pairs."""
  pairs = items.items() if isinstance(items, dict) else items
  return {_checked_key(key): value for key, value in pairs}


class _Dict(dict):
  """A dict that may have attributes; they are dropped."""

  def __init__(self, items=()):
    super().__init__(_make_dict(items))

  def __setstate__(self, state):
    pass


class _Dtype:
  """A number's type, by its code such as 'f4'."""

  def __init__(self, code, *_):
    dtype = np.dtype(code) if isinstance(code, str) else np.dtype(object)
    if dtype.kind not in 'biufc':
      raise RefusedError(f'The file holds an array of {code!r}, not numbers.')
    self.dtype = dtype

  def __setstate__(self, state):
    if state[1] in ('<', '>'):
      self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
  """Bytes, a type and a shape, as numpy's arrays say them."""

  value = None

  def __setstate__(self, state):
    _, shape, dtype, is_fortran, data = state
    self.value = _from_buffer(data, dtype, shape, 'F' if is_fortran else 'C')


def _from_buffer(data, dtype, shape, order):
  """A view, whatever the file says how often."""
  return np.frombuffer(data, dtype.dtype).reshape(tuple(shape), order=order)


def _scalar(dtype, data):
  return _from_buffer(data, dtype, (), 'C')[()]


def _jax_array(_, args, state, *more):
  """JAX's arrays say how numpy's would be made, and whether weakly typed."""
  del args, more
  array = _Array()
  array.__setstate__(state)
  return array


class _Encode:
  """Bytes in protocols that have none."""

  def __init__(self):
    self._made = {}

  def __call__(self, text, encoding):
    if encoding != 'latin1':
      raise RefusedError(f'The file encodes bytes as {encoding!r}.')
    if text not in self._made:
      self._made[text] = text.encode('latin1')
    return self._made[text]


_NAMES = {
  '__builtin__.bytes': lambda: b'',
  'collections.OrderedDict': _Dict,
  'numpy.ndarray': None,  # only said, as the type of an array
  'numpy.dtype': _Dtype,
  'jax._src.array._reconstruct_array': _jax_array,
  'jax._src.device_array.reconstruct_device_array': _jax_array,
  'haiku._src.data_structures.FlatMapping': _make_dict,
  'haiku._src.data_structures.frozendict': _make_dict,
}
for _module in 'numpy.core', 'numpy._core':
  _NAMES |= {
    f'{_module}.multiarray._reconstruct': lambda *_: _Array(),
    f'{_module}.multiarray.scalar': _scalar,
    f'{_module}.numeric._frombuffer': _from_buffer,
  }


class _Instructions(dict):
  """What an unpickler does, by the byte that says so, a limited number."""

  def __init__(self, instructions):
    super().__init__(instructions)
    self._number = itertools.count(1)

  def __getitem__(self, key):
    if next(self._number) > _MAX_INSTRUCTIONS:
      raise RefusedError(
        f'The file has more than {_MAX_INSTRUCTIONS:,} instructions; weights '
        'have fewer.'
      )
    return super().__getitem__(key)


def _set_item(unpickler):
  value, key = unpickler.stack.pop(), unpickler.stack.pop()
  unpickler.stack[-1][_checked_key(key)] = value


def _set_items(unpickler):
  items = unpickler.pop_mark()
  for key, value in zip(items[::2], items[1::2], strict=True):
    unpickler.stack[-1][_checked_key(key)] = value


def _dict_of_items(unpickler):
  items = unpickler.pop_mark()
  pairs = zip(items[::2], items[1::2], strict=True)
  unpickler.append(_make_dict(pairs))


def _byte_array(unpickler):
  size = int.from_bytes(unpickler.read(8), 'little')
  data = unpickler.read(size)
  if len(data) != size:
    raise EOFError('A byte array is cut short.')
  unpickler.append(data)


def _refuse_set(_):
  raise RefusedError('The file holds a set; expected arrays and containers.')


_INSTRUCTIONS = {
  **pickle._Unpickler.dispatch,
  pickle.SETITEM[0]: _set_item,
  pickle.SETITEMS[0]: _set_items,
  pickle.DICT[0]: _dict_of_items,
  pickle.BYTEARRAY8[0]: _byte_array,
  pickle.EMPTY_SET[0]: _refuse_set,
  pickle.FROZENSET[0]: _refuse_set,
}
_LEAVES = str, bytes, bool, int, float, complex, type(None), _Nothing


class _Plain:
  """Makes dicts, lists, tuples and numpy's arrays of what was read.

  Containers may stand in each other, twice each, forty deep: a tree of more
  nodes than the file has bytes, or of more in arrays than it holds, is refused.
  """

  def __init__(self, size: int, stored: int):
    """Args: bytes of the pickle, and of all that its arrays are in."""
    self._nodes, self._bytes = size, 2 * stored + _SHARED_BYTES

  def tree(self, x):
    self._nodes -= 1
    if self._nodes < 0:
      raise RefusedError('The file holds containers that multiply.')
    if isinstance(x, _Array):
      x = x.value
    if isinstance(x, np.ndarray | np.generic):
      self._bytes -= x.nbytes
      if self._bytes < 0:
        raise RefusedError(
          'The file holds numbers many times, more than twice its size in all.'
        )
      return x.astype(x.dtype.newbyteorder('='), copy=False)
    if isinstance(x, dict):
      return {self.tree(k): self.tree(v) for k, v in x.items()}
    if type(x) in (list, tuple):
      return type(x)(self.tree(v) for v in x)
    if isinstance(x, _Name):
      raise RefusedError(f'The file holds {x.name!r} itself, expected data.')
    if isinstance(x, _LEAVES):
      return x
    raise RefusedError(f'The file holds a {type(x).__name__}, expected data.')

"""Pickles read as data: arrays and plain containers; nothing is executed.

A pickle is a program, and what it can do is what the names in it stand for.
Here a name stands for one of the functions below, which make data of data, or
it is refused.
"""

import functools
import pickle
from collections.abc import Callable, Collection, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

PyTree = Any


class RefusedError(ValueError):
  """A file holds something other than arrays and plain containers."""


def load(
  file: IO[bytes],
  names: Mapping[str, Callable[..., Any]] | None = None,
  persistent_load: Callable[[Any], Any] | None = None,
  ignore: Collection[str] = (),
) -> PyTree:
  """Reads dicts, lists, tuples, numbers, strings and numpy or JAX arrays.

  Args:
    file: what `pickle.dump` wrote, of any protocol and any numpy.
    names: further names that may occur, 'module.name' -> what a call of it
      makes. Named types of numbers may stand for a dtype.
    persistent_load: what the file's references to something outside of it are.
    ignore: names of what is read as nothing, though it is not known.

  Returns:
    The tree; arrays are numpy's.

  Raises:
    RefusedError: naming what else the file holds.
    ValueError: the file is no pickle, or damaged.
  """
  unpickler = _Unpickler(file, names or {}, persistent_load, ignore)
  try:
    return _plain(unpickler.load())
  except RefusedError:
    raise
  except Exception as e:  # Damaged files raise almost anything.
    raise ValueError(f'The pickle cannot be read: {e!r:.200}.') from e


class _Unpickler(pickle.Unpickler):
  def __init__(self, file, names, persistent_load, ignore):
    super().__init__(file)
    self._names = {**_NAMES, **names}
    self._persistent_load = persistent_load
    self._ignore = ignore

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
  """What a name becomes. Unlike a function or a type, nothing can be set on it,
  so that no pickle can change what it means.
  """

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


class _Dict(dict):
  """A dict that may have attributes; they are dropped."""

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
  flat = np.frombuffer(data, dtype.dtype)
  array = flat.reshape(tuple(shape), order=order)
  return array.astype(array.dtype.newbyteorder('='))  # owned, native


def _scalar(dtype, data):
  return _from_buffer(data, dtype, (), 'C')[()]


def _jax_array(_, args, state, *more):
  """JAX's arrays say how numpy's would be made, and whether weakly typed."""
  del args, more
  array = _Array()
  array.__setstate__(state)
  return array


def _encode(text, encoding):
  """Bytes in protocols that have none."""
  if encoding != 'latin1':
    raise RefusedError(f'The file encodes bytes as {encoding!r}.')
  return text.encode('latin1')


_NAMES = {
  '_codecs.encode': _encode,
  '__builtin__.bytes': lambda: b'',
  'collections.OrderedDict': _Dict,
  'numpy.ndarray': None,  # only said, as the type of an array
  'numpy.dtype': _Dtype,
  'jax._src.array._reconstruct_array': _jax_array,
  'jax._src.device_array.reconstruct_device_array': _jax_array,
  'haiku._src.data_structures.FlatMapping': dict,
  'haiku._src.data_structures.frozendict': dict,
}
for _module in 'numpy.core', 'numpy._core':
  _NAMES |= {
    f'{_module}.multiarray._reconstruct': lambda *_: _Array(),
    f'{_module}.multiarray.scalar': _scalar,
    f'{_module}.numeric._frombuffer': _from_buffer,
  }


@functools.singledispatch
def _plain(x):
  raise RefusedError(f'The file holds a {type(x).__name__}, expected data.')


@_plain.register
def _(x: _Array):
  return _plain(x.value)


@_plain.register
def _(x: _Name):
  raise RefusedError(f'The file holds {x.name!r} itself, expected data.')


@_plain.register(dict)
def _(x):
  return {_plain(k): _plain(v) for k, v in x.items()}


@_plain.register(list)
@_plain.register(tuple)
def _(x):
  return type(x)(_plain(v) for v in x)


for _type in (
  *(np.ndarray, np.generic, str, bytes, bool, int, float, complex),
  *(type(None), _Nothing),
):
  _plain.register(_type, lambda x: x)

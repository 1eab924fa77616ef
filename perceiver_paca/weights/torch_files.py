"""PyTorch's zip files (torch.save since 1.6), read and written without PyTorch.

A file is a zip of `<any>/data.pkl`, in which tensors refer to storages by a
key, and `<any>/data/<key>`, their raw numbers.
"""

import io
import math
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from perceiver_paca.weights import pickles

PyTree = Any

_DTYPES = {
  'BFloat16Storage': np.dtype(ml_dtypes.bfloat16),
  'BoolStorage': np.dtype(bool),
  'ByteStorage': np.dtype(np.uint8),
  'CharStorage': np.dtype(np.int8),
  'DoubleStorage': np.dtype(np.float64),
  'FloatStorage': np.dtype(np.float32),
  'HalfStorage': np.dtype(np.float16),
  'IntStorage': np.dtype(np.int32),
  'LongStorage': np.dtype(np.int64),
  'ShortStorage': np.dtype(np.int16),
}


def load(path: str, ignore: Collection[str] = ()) -> PyTree:
  """Reads a file's containers, its tensors as numpy arrays.

  Args:
    path: of the file.
    ignore: see `pickles.load`.

  Raises:
    pickles.RefusedError: the file holds other things than tensors, numbers and
      plain containers.
    ValueError: it is no such file, or damaged.
  """
  try:
    archive = zipfile.ZipFile(path)
  except (zipfile.BadZipFile, NotImplementedError) as e:
    raise ValueError(f'{path}: no zip file, or cut short ({e}).') from e
  with archive:
    _check_sizes(path, archive)
    indices = [n for n in archive.namelist() if n.endswith('/data.pkl')]
    if len(indices) != 1:
      raise ValueError(
        f'{path}: found {len(indices)} members data.pkl, expected one; it is '
        "a zip file, but not PyTorch's."
      )
    folder = indices[0].removesuffix('data.pkl')
    order = '<'
    if f'{folder}byteorder' in archive.namelist():
      written = _member(path, archive, f'{folder}byteorder')
      order = {b'little': '<', b'big': '>'}.get(written)
      if order is None:
        raise ValueError(f'{path}: found byteorder {written!r:.40}.')
    storages = {}

    def storage(pid):
      kind, name, key, _, size = pid
      if kind != 'storage':
        raise pickles.RefusedError(f'{path}: refers to {pid!r}.')
      if key not in storages:
        dtype = name.make
        stored = np.frombuffer(
          _member(path, archive, f'{folder}data/{key}'),
          dtype.newbyteorder(order),
        )
        storages[key] = stored[:size].astype(dtype, copy=False)
      return storages[key]

    return pickles.load(
      io.BytesIO(_member(path, archive, indices[0])),
      names=_NAMES,
      persistent_load=storage,
      ignore=ignore,
      stored=sum(member.file_size for member in archive.infolist()),
    )


def _member(path: str, archive: zipfile.ZipFile, name: str) -> bytes:
  """What an archive says is in it; any byte of it may be wrong."""
  try:
    return archive.read(name)
  except (EOFError, KeyError, OSError, RuntimeError) as e:
    raise ValueError(f'{path}: {name} cannot be read ({e}).') from e
  except (zipfile.BadZipFile, zlib.error) as e:
    raise ValueError(f'{path}: {name} is damaged ({e}).') from e


def _check_sizes(path: str, archive: zipfile.ZipFile) -> None:
  """Refuses members that would take much more memory than the file."""
  size = os.path.getsize(path)
  unpacked = sum(member.file_size for member in archive.infolist())
  if unpacked > 2 * size + 2**26:
    raise ValueError(
      f'{path}: {size:,} bytes that unpack to {unpacked:,}; PyTorch does not '
      'compress.'
    )


def _tensor(storage, offset, shape, strides, *_):
  last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
  if 0 in shape:
    return np.zeros(shape, storage.dtype)
  if offset < 0 or min(strides, default=0) < 0 or last >= len(storage):
    raise ValueError(f'A tensor of {shape} reaches out of its storage.')
  if math.prod(shape) > len(storage):
    raise ValueError(
      f'A tensor of {shape} has more elements than its storage, {len(storage)}.'
    )
  return np.lib.stride_tricks.as_strided(
    storage[offset:],
    shape,
    [s * storage.itemsize for s in strides],
    writeable=False,
  )


_NAMES = {
  'torch._utils._rebuild_tensor_v2': _tensor,
  'torch._utils._rebuild_parameter': lambda tensor, *_: tensor,
  'torch.Size': lambda shape=(): tuple(shape),
  **{f'torch.{name}': dtype for name, dtype in _DTYPES.items()},
}


def save(path: str, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a state dict, such as `torch.load` reads.

  Raises:
    ValueError: for an array of a type that PyTorch does not have.
  """
  kinds = {dtype: name for name, dtype in _DTYPES.items()}
  with zipfile.ZipFile(path, 'w') as archive:
    pickled = [pickle.PROTO + b'\x02', pickle.EMPTY_DICT, pickle.MARK]
    for key, (name, x) in enumerate(tensors.items()):
      x = np.asarray(x)
      if x.dtype not in kinds:
        raise ValueError(f'{name}: found {x.dtype}, which PyTorch has not.')
      pickled += [_text(name), *_pickled_tensor(kinds[x.dtype], str(key), x)]
      little = np.ascontiguousarray(x).astype(x.dtype.newbyteorder('<'))
      archive.writestr(f'archive/data/{key}', little.tobytes())
    pickled += [pickle.SETITEMS, pickle.STOP]
    archive.writestr('archive/data.pkl', b''.join(pickled))
    archive.writestr('archive/byteorder', 'little')
    archive.writestr('archive/version', '3\n')


def _pickled_tensor(kind, key, x):
  """Opcodes: _rebuild_tensor_v2(storage, 0, shape, strides, False, {})."""
  strides = np.cumprod((1, *x.shape[:0:-1]))[::-1] if x.ndim else ()
  return [
    b'ctorch._utils\n_rebuild_tensor_v2\n',
    *(pickle.MARK, pickle.MARK, _text('storage'), b'ctorch\n'),
    *(kind.encode(), b'\n', _text(key), _text('cpu'), _int(x.size)),
    *(pickle.TUPLE, pickle.BINPERSID, _int(0)),
    *(pickle.MARK, *map(_int, x.shape), pickle.TUPLE),
    *(pickle.MARK, *map(_int, strides), pickle.TUPLE),
    *(pickle.NEWFALSE, b'ccollections\nOrderedDict\n', pickle.EMPTY_TUPLE),
    *(pickle.REDUCE, pickle.TUPLE, pickle.REDUCE),
  ]


def _text(text: str) -> bytes:
  data = text.encode()
  return pickle.BINUNICODE + struct.pack('<I', len(data)) + data


def _int(value: int) -> bytes:
  return pickle.BININT + struct.pack('<i', value)

"""Small files of weights that ask for much are refused at once."""

import copy
import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from perceiver_paca.weights import files, torch_files

HEAD = b'\x80\x04'
MEBIBYTE = 2**20


def doubled(make, depth=40):
  """Containers each of which holds the one before twice, or by two names."""
  tree = np.ones(3, np.float32)
  for _ in range(depth):
    tree = make(tree)
  return pickle.dumps({'w': tree})


def cyclic():
  tree = {}
  tree['w'] = tree
  return pickle.dumps(tree)


def named_often(names=2_000, size=MEBIBYTE):
  array = np.zeros(size, np.uint8)
  return pickle.dumps({str(i): array for i in range(names)})


def encoded_often(times=3_000, size=MEBIBYTE):
  """As bytes were pickled before there were any: by a call of a codec."""
  text = pickle.BINUNICODE + struct.pack('<I', size) + b'a' * size
  call = b'c_codecs\nencode\n'
  once = b'h\x00(h\x01\x8c\x06latin1tR'
  return HEAD + call + b'\x94' + text + b'\x9400(' + once * times + b't.'


def big(instruction, size):
  return HEAD + instruction + struct.pack('<Q', size) + b'.'


PICKLES = {
  'lists in lists': doubled(lambda x: [x, x]),
  'tuples in tuples': doubled(lambda x: (x, x)),
  'dicts in dicts': doubled(lambda x: {'a': x, 'b': x}),
  'a dict in itself': cyclic(),
  'a place of the memory': HEAD + b'Nr\xff\xff\xff\x7f.',
  'a byte array': big(pickle.BYTEARRAY8, 2**32),
  'bytes': big(pickle.BINBYTES8, 2**32),
  'a text': big(pickle.BINUNICODE8, 2**32),
  'a frame': big(pickle.FRAME, 2**32),
  'an integer': HEAD + pickle.LONG4 + struct.pack('<i', 2**31 - 1) + b'.',
  'digits': b'I' + b'9' * MEBIBYTE + b'\n.',
  'many instructions': HEAD + b'N0' * 5 * MEBIBYTE + b'N.',
  'many marks': HEAD + b'(' * 5 * MEBIBYTE + b'.',
  'deep lists': HEAD + b']' * 90_000 + b'a' * 89_999 + b'.',
  'one array by many names': named_often(),
  'one text encoded often': encoded_often(),
  'a set of colliding numbers': pickle.dumps(
    {'w': {i * (2**61 - 1) for i in range(1, 3)}}
  ),
  'colliding keys': pickle.dumps({i * (2**61 - 1): 0 for i in range(1, 3)}),
  'colliding keys in pairs': b'ccollections\nOrderedDict\n('
  + pickle.dumps([((1, 2), 3)], 2)[2:-1]
  + b'tR.',
  'an array of no size': pickle.dumps(np.zeros((0, 3))).replace(
    b'K\x00K\x03', b'K\x00J\xff\xff\xff\x7f'
  ),
}


def refused(path):
  """Why the file is refused: one line. It takes neither time nor memory."""
  began = time.process_time()
  with pytest.raises(ValueError) as error:
    files.load(str(path))
  assert time.process_time() - began < 5
  size = os.path.getsize(path)
  if size < 2**16:  # Tracing is slow.
    tracemalloc.start()
    with pytest.raises(ValueError):
      files.load(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500 * MEBIBYTE + 3 * size
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('name', PICKLES)
def test_pickles(name, tmp_path):
  path = tmp_path / 'weights'
  path.write_bytes(PICKLES[name])
  refused(path)


def torch_file(path, tensors, change=lambda data: data, method=0, **members):
  """A file of PyTorch, its index changed, with other members beside."""
  torch_files.save(str(path), tensors)
  with zipfile.ZipFile(path) as old:
    contents = {name: old.read(name) for name in old.namelist()}
  with zipfile.ZipFile(path, 'w', method) as new:
    for name, data in (contents | members).items():
      new.writestr(name, change(data) if name.endswith('.pkl') else data)
  return path


def test_a_tensor_that_repeats_its_storage(tmp_path):
  """Of 65,536 x 65,536 elements, by strides of 0."""

  def repeat(data):
    shape, strides = struct.pack('<cici', b'J', 2, b'J', 3), b'J\x03\0\0\0J\x01'
    assert shape in data and strides in data
    large = struct.pack('<cici', b'J', 2**16, b'J', 2**16)
    return data.replace(shape, large).replace(strides, b'J\0\0\0\0J\0')

  tensors = {'w': np.ones((2, 3), np.float32)}
  path = torch_file(tmp_path / 'x.pth', tensors, repeat)
  assert 'more elements than its storage' in refused(path)


def test_a_zip_that_unpacks_to_much(tmp_path):
  path = torch_file(
    tmp_path / 'x.pth',
    {'w': np.zeros(70 * MEBIBYTE, np.uint8)},
    method=zipfile.ZIP_DEFLATED,
  )
  assert 'unpack to' in refused(path)


def test_a_zip_of_the_same_member_many_times(tmp_path):
  path = torch_file(tmp_path / 'x.pth', {'w': np.zeros(MEBIBYTE, np.uint8)})
  with zipfile.ZipFile(path, 'a') as archive:
    (member,) = (x for x in archive.infolist() if x.filename.endswith('/0'))
    for i in range(500):
      other = copy.copy(member)
      other.filename = f'archive/data/{i + 1}'
      archive.filelist.append(other)
    archive._didModify = True
  assert 'unpack to' in refused(path)


@pytest.mark.parametrize('where', [0.02, 0.5, 0.97])
def test_files_cut_short(where, tmp_path):
  buffer = io.BytesIO()
  pickle.dump({'w': np.ones(1000, np.float32)}, buffer)
  torch_files.save(str(tmp_path / 'zip'), {'w': np.ones(1000, np.float32)})
  for data in (buffer.getvalue(), (tmp_path / 'zip').read_bytes()):
    path = tmp_path / 'cut'
    path.write_bytes(data[: int(where * len(data))])
    refused(path)


def test_a_member_with_a_wrong_checksum(tmp_path):
  path = torch_file(tmp_path / 'x.pth', {'w': np.arange(99, dtype=np.float32)})
  data = bytearray(path.read_bytes())
  data[data.index(np.arange(99, dtype=np.float32).tobytes()) + 7] ^= 1
  path.write_bytes(data)
  assert 'CRC' in refused(path)


def test_a_member_that_lies_before_the_file(tmp_path):
  """As a wrong byte in the archive's directory says."""
  path = torch_file(tmp_path / 'x.pth', {'w': np.arange(9, dtype=np.float32)})
  data = bytearray(path.read_bytes())
  at = data.rindex(b'PK\x05\x06') + 16  # where the directory begins
  data[at : at + 4] = b'\xff\xff\xff\x7f'
  path.write_bytes(data)
  refused(path)


def test_tied_weights_are_read(tmp_path):
  """Two names of one array, and two views of one storage."""
  array = np.arange(6, dtype=np.float32)
  path = tmp_path / 'tied'
  path.write_bytes(pickle.dumps({'a': array, 'b': array, 'c': {'d': array}}))
  found = files.load(str(path))
  assert set(found) == {'a', 'b', 'c/d'}
  for x in found.values():
    np.testing.assert_array_equal(x, array)

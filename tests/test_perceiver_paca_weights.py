"""Files of weights: what they hold is read, what they would do is not done."""

import collections
import io
import os
import pathlib
import pickle
import sys
import types
import zipfile

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from perceiver_paca.weights import files, pickles, torch_files

# Made by PyTorch 2.13: a state dict inside of what a training program saves,
# the same in the old format, and one beside an argparse.Namespace.
FOLDER = pathlib.Path(__file__).parent / 'golden' / 'weights'

TREE = {
  'params': {
    'encoder/~/linear': {
      'w': np.arange(6, dtype=np.float32).reshape(2, 3).T,
      'b': np.float32(3),
    },
    'norm': {'scale': np.arange(4, dtype='>f8'), 'none': np.zeros((0, 3))},
  },
  'state': {'norm/~/ema': {'counter': np.array(5, np.int32)}},
}


class Command:
  """Unpickled by `pickle.load`, it makes a file."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.system, (f'touch {self.path}',)


def loads(data, **options):
  return pickles.load(io.BytesIO(data), **options)


def assert_same(found, expected):
  assert type(found) is type(expected)
  if isinstance(expected, dict):
    assert list(found) == list(expected)
    for key in expected:
      assert_same(found[key], expected[key])
  else:
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype.newbyteorder('=')


@pytest.mark.parametrize('protocol', range(6))
def test_arrays_and_containers_are_read(protocol):
  assert_same(loads(pickle.dumps(TREE, protocol)), TREE)
  plain = [1, 2.5, 'x', b'y', None, True, (3, [4]), {'k': ()}]
  assert loads(pickle.dumps(plain, protocol)) == plain


def test_a_pickle_of_2021(monkeypatch, tmp_path):
  """Haiku's mappings and numpy's module as they were called then."""
  module = types.ModuleType('haiku._src.data_structures')

  class FlatMapping(dict):
    def __reduce__(self):
      return FlatMapping, (dict(self),)

  FlatMapping.__module__ = module.__name__
  FlatMapping.__qualname__ = 'FlatMapping'
  module.FlatMapping = FlatMapping
  for name in 'haiku', 'haiku._src':
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
  monkeypatch.setitem(sys.modules, module.__name__, module)
  params = FlatMapping({k: FlatMapping(v) for k, v in TREE['params'].items()})
  data = pickle.dumps({'params': params, 'state': TREE['state']}, protocol=3)
  assert b'FlatMapping' in data and b'numpy._core' in data
  path = tmp_path / 'weights.pystate'
  path.write_bytes(data.replace(b'numpy._core', b'numpy.core'))
  found = files.load(str(path))
  assert set(found) == {
    *('encoder/~/linear/w', 'encoder/~/linear/b', 'norm/scale', 'norm/none'),
    'norm/~/ema/counter',
  }
  np.testing.assert_array_equal(
    found['encoder/~/linear/w'], TREE['params']['encoder/~/linear']['w']
  )


def test_jax_arrays_are_read():
  found = loads(pickle.dumps({'w': jnp.arange(6.0).reshape(2, 3)}))
  np.testing.assert_array_equal(found['w'], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize('protocol', range(6))
def test_commands_are_refused_by_name_and_not_run(protocol, tmp_path):
  made = tmp_path / 'made'
  data = pickle.dumps({'w': np.ones(3), 'x': [Command(made)]}, protocol)
  with pytest.raises(pickles.RefusedError, match=r'(posix|nt)\.system'):
    loads(data)
  assert not made.exists()
  pickle.loads(data)
  assert made.exists()  # It would have been.


# What calls an admitted name with something that is not data, or hides a name.
@pytest.mark.parametrize(
  'program, found',
  [
    (b"cbuiltins\neval\n(V1+1\ntR.", 'builtins.eval'),
    (b'\x80\x04\x8c\x05numpy\x8c\x0cf2py.os.exec\x93.', 'numpy.f2py.os.exec'),
    (b'cnumpy\nndarray\n(I3\ntR.', 'numpy.ndarray'),
    (b'cnumpy\nndarray\n.', 'numpy.ndarray'),
    (b'c_codecs\nencode\n(Vx\nVrot13\ntR.', 'rot13'),
    (b'cnumpy\ndtype\n(VO\ntR.', 'dtype|numbers'),
    (b'Pelsewhere\n.', 'elsewhere'),
    (pickle.dumps(np.array([object()])), 'builtins.object|numbers'),
    (pickle.dumps(np.zeros(2, [('a', 'f4')])), 'numbers'),
  ],
)  # fmt: skip
def test_programs_in_disguise_are_refused(program, found):
  with pytest.raises(ValueError, match=found):
    loads(program)


def test_the_meaning_of_a_name_cannot_be_changed():
  # encode.__class__ and the like: state for what a name stands for.
  data = b'c_codecs\nencode\n(N}(Vmake\nI1\nutb.'
  with pytest.raises(ValueError, match='AttributeError|read'):
    loads(data)
  assert loads(b'c_codecs\nencode\n(Vx\nVlatin1\ntR.') == b'x'


@pytest.mark.parametrize('data', [b'', b'\x80\x04', b'hello', b'\x80\x04N'])
def test_damaged_pickles(data):
  with pytest.raises(ValueError, match='cannot be read'):
    loads(data)


def test_a_file_of_pytorch():
  found = files.load(str(FOLDER / 'torch.pth'))
  base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
  expected = {
    'plain': base,
    'transposed': base.transpose(2, 0, 1),
    'view': base[1, 1:, ::2],
    'parameter': base[0] * 2,
    'scalar': np.array(7, np.int64),
    'half': base[0].astype(np.float16),
    'bfloat16': base[0].astype(ml_dtypes.bfloat16),
    'double': base[0].astype(np.float64),
    'empty': np.zeros((0, 3), np.float32),
  }
  assert_same(found, expected)


def test_what_training_programs_save_beside_weights():
  path = str(FOLDER / 'torch_namespace.pth')
  with pytest.raises(pickles.RefusedError, match='argparse.Namespace'):
    files.load(path)
  found = files.load(path, ignore=['argparse.Namespace'])
  assert found['w'].shape == (2, 3, 4)


def test_the_old_format_of_pytorch_is_named():
  with pytest.raises(ValueError, match='before version 1.6.*torch.save'):
    files.load(str(FOLDER / 'torch_legacy.pth'))


def rewritten(path, change):
  """A copy of torch.pth with another data.pkl."""
  with zipfile.ZipFile(FOLDER / 'torch.pth') as old:
    with zipfile.ZipFile(path, 'w') as new:
      for name in old.namelist():
        data = old.read(name)
        new.writestr(name, change(data) if 'data.pkl' in name else data)
  return str(path)


def test_commands_in_files_of_pytorch_are_not_run(tmp_path):
  made = tmp_path / 'made'
  path = rewritten(
    tmp_path / 'x.pth', lambda _: pickle.dumps({'a': Command(made)}, 2)
  )
  with pytest.raises(pickles.RefusedError, match=r'\.system'):
    files.load(path)
  assert not made.exists()


def test_tensors_stay_within_their_storage(tmp_path):
  def enlarge(data):
    assert data.count(b'K\x02K\x03K\x04') >= 1
    return data.replace(b'K\x02K\x03K\x04', b'K\x02K\x03K\x7f')

  path = rewritten(tmp_path / 'x.pth', enlarge)
  with pytest.raises(ValueError, match='out of its storage'):
    files.load(path)


def test_other_zip_files(tmp_path):
  path = tmp_path / 'x.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a', 'b')
  with pytest.raises(ValueError, match='data.pkl'):
    files.load(str(path))


NAMED = collections.OrderedDict(
  a=np.arange(6, dtype=np.float32).reshape(2, 3).T,
  b=np.array(3, np.float16),
  c=np.arange(4, dtype=np.int64),
  d=np.ones((2, 1, 3), ml_dtypes.bfloat16),
)


@pytest.mark.parametrize('save', [torch_files.save, files.save_safetensors])
def test_written_files_come_back(save, tmp_path):
  path = str(tmp_path / 'file')
  save(path, NAMED)
  found = files.load(path)
  assert set(found) == set(NAMED)
  for name, x in NAMED.items():
    assert_same(found[name], x)


@pytest.mark.parametrize('with_state', [False, True])
def test_written_pickles_come_back(with_state, tmp_path):
  params = {'a/~/b/w': NAMED['a'], 'a/~/b/b': NAMED['c']}
  state = {'a/~/ema/average': NAMED['b']} if with_state else {}
  path = tmp_path / 'file'
  files.save_haiku(str(path), params, state)
  assert_same(files.load(str(path)), params | state)
  tree = pickle.loads(path.read_bytes())
  tree = tree['params'] if with_state else tree
  np.testing.assert_array_equal(tree['a/~/b']['w'], NAMED['a'])


def test_what_is_no_file_of_weights(tmp_path):
  path = tmp_path / 'x'
  path.write_bytes(b'<html>not found</html>')
  with pytest.raises(ValueError, match='<html>.*expected a pickle'):
    files.load(str(path))
  path.write_bytes(pickle.dumps({'w': 'text'}))
  with pytest.raises(ValueError, match="found a str named 'w'"):
    files.load(str(path))
  path.write_bytes(pickle.dumps([1]))
  with pytest.raises(ValueError, match='holds a list'):
    files.load(str(path))


def test_what_wrappers_put_before_names_is_left_out(tmp_path):
  path = str(tmp_path / 'x.pth')
  tensors = {'norm.bias': np.ones(2), 'model.head.bias': np.zeros(2)}
  wrapped = {f'module._orig_mod.model.{k}': x for k, x in tensors.items()}
  torch_files.save(path, wrapped)
  said = []
  assert_same(files.load(path, say=said.append), tensors)
  assert [x.split("'")[1] for x in said] == ['module.', '_orig_mod.', 'model.']
  # Not where it is of some names only.
  torch_files.save(path, tensors)
  assert_same(files.load(path), tensors)


def test_the_weights_among_what_a_file_holds(tmp_path):
  path = tmp_path / 'x.pickle'
  held = {'ema': {'a': {'w': np.ones(2)}}, 'raw': {'a': {'w': np.zeros(2)}}}
  path.write_bytes(pickle.dumps(held))
  assert_same(files.load(str(path), weights_key='ema'), {'a/w': np.ones(2)})
  with pytest.raises(
    ValueError, match=r"no 'emma', expected one of .'ema', 'r"
  ):
    files.load(str(path), weights_key='emma')
  tree = {'ema': {'w': np.ones(2)}, 'epoch': 3}
  with pytest.raises(ValueError, match=r"holds \['ema'\] beside \['epoch'\]"):
    files._weights_in(tree, None, print)
  said = []
  tree = {'state_dict': {'w': np.ones(2)}, 'state_dict_ema': {'w': np.zeros(2)}}
  assert files._weights_in(tree, None, said.append)['w'].all()
  assert "there are also ['state_dict_ema']" in said[0]


def test_what_cannot_be_opened_is_named(tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(OSError, match=r"a folder, .* are \['config\.json'\]"):
    files.load(str(tmp_path))
  with pytest.raises(OSError, match=r'none\.pth: No such file'):
    files.load(str(tmp_path / 'none.pth'))
  header = b'{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
  path = tmp_path / 'x.safetensors'
  path.write_bytes(len(header).to_bytes(8, 'little') + header + b'\x00')
  with pytest.raises(ValueError, match=r'x\.safetensors: .*float8'):
    files.load(str(path))

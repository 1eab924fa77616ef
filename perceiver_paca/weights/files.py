"""Files of weights, told apart by what is in them and not by their names."""

import os
import pickle
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from perceiver_paca.weights import pickles, torch_files

# torch.save before 1.6: a pickle of this number comes first.
_OLD_TORCH = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
# What training programs call the weights in what they save.
_STATE_DICTS = ('state_dict', 'model', 'model_state_dict')
# What wrappers of a model put before all names.
_PREFIXES = ('module.', '_orig_mod.', 'model.')


def load(
  path: str,
  ignore: Collection[str] = (),
  *,
  weights_key: str | None = None,
  say: Callable[[str], None] = lambda text: None,
) -> dict[str, np.ndarray]:
  """Reads the weights of a Haiku pickle, a PyTorch or a safetensors file.

  Args:
    path: of the file.
    ignore: see `pickles.load`.
    weights_key: what the weights are called among what the file holds, such as
      'model_ema'; None for the usual names.
    say: is told what was chosen and what was left out of names.

  Returns:
    name -> array, as the file names them: '<module>/<parameter>' in a pickle,
    where parameters and state are one; '<module>.<parameter>' elsewhere,
    without 'module.', '_orig_mod.' and 'model.' where all names begin so.

  Raises:
    pickles.RefusedError: the file holds more than arrays and containers.
    ValueError: it is of another format, or damaged.
    ModuleNotFoundError: the package that the format needs is not installed.
    OSError: the file cannot be opened.
  """
  if os.path.isdir(path):
    inside = sorted(os.listdir(path))[:5]
    raise IsADirectoryError(
      f'{path}: a folder, expected a file of weights; in it are {inside}.'
    )
  try:
    return _stripped(_load(path, ignore, weights_key, say), say)
  except ModuleNotFoundError:
    raise
  except OSError as e:
    raise type(e)(f'{path}: {e.strerror or e}.') from e
  except Exception as e:  # Damaged files raise almost anything.
    kind = pickles.RefusedError
    if not isinstance(e, kind):
      kind = ValueError
    raise kind(f'{path}: {str(e).removeprefix(f"{path}: ")}') from e


def _stripped(tensors, say) -> dict[str, np.ndarray]:
  """Without what wrappers put before all names."""
  while tensors:
    prefix = next(
      (p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), ''
    )
    if not prefix:
      break
    say(f'All names begin with {prefix!r}, which is left out.')
    tensors = {name.removeprefix(prefix): x for name, x in tensors.items()}
  return tensors


def _weights_in(tree, weights_key, say):
  """The container of weights among what a training program saved."""
  held = []
  if isinstance(tree, dict):
    held = sorted(str(k) for k, x in tree.items() if isinstance(x, dict) and x)
  if weights_key is not None:
    if weights_key not in held:
      raise ValueError(
        f'--weights_key: found no {weights_key!r}, expected one of {held}.'
      )
    return tree[weights_key]
  for name in _STATE_DICTS:
    if name in held:
      others = [x for x in held if x != name]
      if others:
        say(f'{name!r} is read; there are also {others}: --weights_key.')
      return _weights_in(tree[name], None, say)
  strays = [
    name
    for name, x in (tree.items() if isinstance(tree, dict) else ())
    if not isinstance(x, dict | np.ndarray | np.generic)
  ]
  if strays and held:
    raise ValueError(
      f'holds {held} beside {strays[:5]}; --weights_key says which are weights.'
    )
  return tree


def _load(path, ignore, weights_key, say):
  with open(path, 'rb') as file:
    head = file.read(16)
  if head.startswith(b'PK\x03\x04'):
    tree = torch_files.load(path, ignore)
    return _arrays(path, _weights_in(tree, weights_key, say), '.')
  if head.startswith(_OLD_TORCH):
    raise ValueError(
      f'{path}: a PyTorch file from before version 1.6, expected a zip file. '
      'PyTorch converts it: torch.save(torch.load(path, weights_only=True), '
      'new_path).'
    )
  # The length of a header in JSON, and the header.
  length = int.from_bytes(head[:8], 'little')
  if head[8:9] == b'{' and length < os.path.getsize(path):
    return _safetensors_of(path)
  if head.startswith(b'\x80'):
    with open(path, 'rb') as file:
      tree = pickles.load(file, ignore=ignore)
    if weights_key is not None:
      return _arrays(path, _weights_in(tree, weights_key, say), '/')
    if isinstance(tree, dict) and isinstance(tree.get('params'), dict):
      return _arrays(path, tree['params'], '/') | _arrays(
        path, tree.get('state') or {}, '/'
      )
    return _arrays(path, tree, '/')
  raise ValueError(
    f'{path}: begins with {head!r}; expected a pickle, a PyTorch zip file or a '
    'safetensors file.'
  )


def save_haiku(
  path: str,
  params: Mapping[str, np.ndarray],
  state: Mapping[str, np.ndarray],
) -> None:
  """Pickles what `load` reads, nested as Haiku has it.

  Args:
    path: of the new file.
    params: '<module>/<parameter>' -> array.
    state: the same; where there is none, the file is the parameters alone.
  """

  def nested(tensors):
    tree = {}
    for name, x in tensors.items():
      module, _, leaf = name.rpartition('/')
      tree.setdefault(module, {})[leaf] = np.asarray(x)
    return tree

  tree = nested(params)
  if state:
    tree = {'params': tree, 'state': nested(state)}
  with open(path, 'wb') as file:
    pickle.dump(tree, file, protocol=4)


def save_safetensors(path: str, tensors: Mapping[str, np.ndarray]) -> None:
  """Writes a file that Hugging Face's libraries take for PyTorch's."""
  tensors = {k: np.asarray(x, order='C') for k, x in tensors.items()}
  _safetensors().save_file(tensors, path, metadata={'format': 'pt'})


def _safetensors_of(path: str) -> dict[str, np.ndarray]:
  try:
    return _safetensors().load_file(path)
  except (KeyError, TypeError, AttributeError) as e:
    raise ValueError(
      f'holds numbers of a type that NumPy has not ({e}), such as float8; '
      'expected float32, float16 or bfloat16.'
    ) from e


def _safetensors():
  """The package's module for numpy."""
  try:
    import safetensors.numpy
  except ModuleNotFoundError as e:
    raise ModuleNotFoundError(
      'safetensors files need: pip install safetensors'
    ) from e
  return safetensors.numpy


def _arrays(path: str, tree: Any, separator: str) -> dict[str, np.ndarray]:
  """The leaves of nested dicts, under their joined names."""
  if not isinstance(tree, dict):
    raise ValueError(
      f'{path}: holds a {type(tree).__name__}, expected named arrays.'
    )
  arrays = {}
  for name, x in tree.items():
    if isinstance(x, dict):
      inner = _arrays(path, x, separator)
      arrays |= {f'{name}{separator}{key}': y for key, y in inner.items()}
    elif isinstance(x, np.ndarray | np.generic):
      arrays[str(name)] = np.asarray(x)
    else:
      raise ValueError(
        f'{path}: found a {type(x).__name__} named {name!r}, expected arrays.'
      )
  return arrays

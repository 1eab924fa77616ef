"""DeepMind's and Hugging Face's files as our variables, and back.

What is written here is read here, and by the programs of those who published.
`name_table` has the names.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np

from perceiver_io import name_table

Array = Any  # numpy's or jax's, or a tracer
PyTree = Any

# In DeepMind's names and no other's; how all of Hugging Face's models begin.
HAIKU, HUGGING_FACE = '/~/', 'perceiver.'
# Steps after which a running average needs no correction: 0.9^1000 is 0.
_SETTLED = 1000
# The last part of our path and of Hugging Face's name.
_HF_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'mean_hidden': 'running_mean',
  'var': 'running_var',
  'var_hidden': 'running_var',
  'counter': 'num_batches_tracked',
}


class _Tensor(NamedTuple):
  """A variable's counterpart in a file.

  Attributes:
    name: in the file.
    path: ours.
    write: lays our array out as theirs.
    read: makes ours, but for axes of length 1, of theirs.
    is_state: DeepMind's programs keep it apart from the parameters.
  """

  name: str
  path: str
  write: Callable[[Array], Array]
  read: Callable[[np.ndarray], np.ndarray]
  is_state: bool = False


def to_haiku(variables: PyTree) -> tuple[dict, dict]:
  """Names and lays out variables as DeepMind's programs expect them.

  Args:
    variables: of one of the published models, in any size; arrays, or tracers
      under `jax.eval_shape`.

  Returns:
    Parameters and state, '<module>/<parameter>' -> array.

  Raises:
    ValueError: naming the variables that those programs do not have.
  """
  flat = _flat(variables)
  written = {True: {}, False: {}}
  for tensor in _haiku_tensors(flat):
    x = tensor.write(flat[tensor.path])
    written[tensor.is_state][tensor.name] = x
  return written[False], written[True]


def from_haiku(
  params: Mapping[str, Any], state: Mapping[str, Any] | None, variables: PyTree
) -> PyTree:
  """Variables with the weights of a DeepMind checkpoint.

  Args:
    params: '<module path>/<parameter name>' -> array.
    state: the same for the state (batch statistics), {} or None if there is
      none.
    variables: the model's variables (or their shapes, by `jax.eval_shape`),
      which say what is expected.

  Returns:
    `variables`, every leaf replaced, in its own type or a wider source's.

  Raises:
    ValueError: listing the tensors that have no place in the model, the
      variables without a tensor, and those whose shapes differ; naming the
      variables that those programs do not have.
  """
  flat = _flat(variables)
  given = {**params, **(state or {})}
  return _filled(given, _haiku_tensors(flat), flat, _without_wrappers)


def to_hugging_face(variables: PyTree) -> dict[str, Any]:
  """Names and lays out variables as PyTorch's Perceivers of `transformers`.

  What they do not have is not written: sums from which running averages are
  corrected. Kernels of convolutions are [out, in, H, W].

  Args, raises: as `to_haiku`'s; Hugging Face has no Perceiver without queries
  and one convolution at most.
  """
  flat = _flat(variables)
  tensors = {}
  for tensor in _hugging_face_tensors(flat):
    if tensor.path.endswith('_hidden'):
      continue
    if tensor.name in tensors:
      raise ValueError(
        f"variables: Hugging Face's models have one {tensor.name}."
      )
    tensors[tensor.name] = tensor.write(flat[tensor.path])
  return tensors


def from_hugging_face(
  state_dict: Mapping[str, Any],
  variables: PyTree,
  swapped_convolution: bool = False,
) -> PyTree:
  """Variables with the weights of a Hugging Face Perceiver.

  These models differ from DeepMind's in more than names: their GELU is exact,
  and their convolutional stem pads otherwise.

  Args:
    state_dict: as PyTorch's, of arrays or CPU tensors.
    variables: as `from_haiku`'s. Batch statistics continue from the given
      averages as if they had settled.
    swapped_convolution: whether the 7x7 kernels are stored [out, in, W, H], as
      Hugging Face's converter from DeepMind's checkpoints leaves them, and not
      [out, in, H, W].

  Raises:
    ValueError: as `from_haiku`'s.
  """
  flat = _flat(variables)
  tensors = {}
  for name, x in state_dict.items():
    if name.endswith('.num_batches_tracked'):
      x = np.int32(_SETTLED)  # The converter leaves it at 0, all averaged.
    elif swapped_convolution and _is_swappable(name):
      x = np.asarray(x).swapaxes(2, 3)
    tensors[name] = x
  return _filled(tensors, _hugging_face_tensors(flat), flat)


def from_published(
  tensors: Mapping[str, Any],
  variables: PyTree,
  swapped_convolution: bool | None = None,
) -> PyTree:
  """`from_haiku` or `from_hugging_face`, as the names tell.

  Args:
    tensors: of a file, see `perceiver_paca.weights.files.load`.
    variables: as `from_haiku`'s.
    swapped_convolution: as `from_hugging_face`'s; not None where it matters.

  Raises:
    ValueError: also for names of neither, and where it must be said how a
      kernel lies.
  """
  if any(HAIKU in name for name in tensors):
    return from_haiku(tensors, None, variables)
  if not any(name.startswith(HUGGING_FACE) for name in tensors):
    raise ValueError(
      "the names are neither DeepMind's nor Hugging Face's, such as "
      f'{sorted(tensors)[:3]}.'
    )
  if swapped_convolution is None and any(map(_is_swappable, tensors)):
    raise ValueError(
      'swapped_convolution: the file has a 7x7 convolution; expected True '
      '(--swapped_convolution) for what Hugging Face converted from '
      "DeepMind's checkpoint, False (--noswapped_convolution) for what was "
      'trained there.'
    )
  return from_hugging_face(tensors, variables, bool(swapped_convolution))


def _is_swappable(name):
  return '.convnet.conv' in name


def _haiku_tensors(flat):
  tensors = []
  for path, leaf, module, _ in name_table.places(flat):
    ndim = flat[path].ndim

    def grid(x, ndim=ndim):  # theirs are as broadcast over a batch of images
      return x.reshape(*[1] * (4 - ndim), *x.shape)

    write, is_state = _same, path.startswith('batch_stats/')
    if is_state and leaf == 'counter':
      # Theirs has one for the mean and one for the variance.
      names = [f'{module}/~/{kind}_ema/counter' for kind in ('mean', 'var')]
    elif is_state:
      kind, _, hidden = leaf.partition('_')
      names, write = [f'{module}/~/{kind}_ema/{hidden or "average"}'], grid
    elif leaf == 'kernel':
      names = [f'{module}/w']
      write = grid if module.endswith('conv2_d') else _same
    elif leaf:
      bias = 'offset' if 'norm' in module else 'b'
      names = [f'{module}/{bias if leaf == "bias" else leaf}']
      write = grid if 'batchnorm' in module else _same
    else:
      names = [module]
      if ndim == 1 and 'pos_embs' in module:
        write = _row
    tensors += [_Tensor(name, path, write, _same, is_state) for name in names]
  return tensors


def _hugging_face_tensors(flat):
  tensors = []
  places = name_table.places(flat)
  unknown = [place.path for place in places if place.hugging_face is None]
  if unknown:
    raise ValueError(f"variables: Hugging Face's models have no {unknown}.")
  for path, leaf, _, module in places:
    name = f'{module}.{_HF_LEAVES[leaf]}' if leaf else module
    write = read = _same
    if leaf == 'kernel':
      write, read = _write_kernel, _read_kernel
      if module.endswith('convnet_1x1'):
        write = _write_convolution_1x1
    elif flat[path].ndim == 1 and re.search(r'\.(padding|mask)\.', module):
      write = _row
    tensors.append(_Tensor(name, path, write, read))
  return tensors


def _same(x):
  return x


def _row(x):
  return x[None]


def _write_kernel(x):
  """[I, O] as [O, I], [H, W, I, O] as [O, I, H, W]."""
  return x.transpose(3, 2, 0, 1) if x.ndim == 4 else x.T


def _write_convolution_1x1(x):
  return _write_kernel(x[None, None])


def _read_kernel(x):
  return x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T


def _without_wrappers(name):
  """DeepMind's name without what is called otherwise in each model."""
  name = re.sub(r'^\w+_decoder/~/(?=basic_decoder/)', '', name)
  return name.removeprefix('perceiver_')


def _filled(given, tensors, flat, key=_same):
  """The variables with what is given, which both sides must agree on.

  Names are the same if their keys are.
  """
  places = {}
  for tensor in tensors:
    places.setdefault(key(tensor.name), []).append(tensor)
  filled, problems = {}, []
  for name, x in given.items():
    if key(name) not in places:
      problems.append(f'{name} {np.shape(x)}: no place in the model')
    for tensor in places.get(key(name), ()):
      path, leaf = tensor.path, flat[tensor.path]
      ours = tensor.read(np.asarray(x))
      while ours.ndim > len(leaf.shape) and ours.shape[0] == 1:
        ours = ours[0]
      if ours.shape != leaf.shape:
        problems.append(
          f'{name}: found {ours.shape}, expected {leaf.shape} for {path}'
        )
      elif path in filled and not np.array_equal(filled[path], ours):
        problems.append(f'{name}: differs from another tensor for {path}')
      dtype = jnp.promote_types(ours.dtype, leaf.dtype)
      filled[path] = jnp.asarray(ours, jax.dtypes.canonicalize_dtype(dtype))
  problems += [
    f'{path} {flat[path].shape}: not in the checkpoint'
    for path in sorted(set(flat) - set(filled))
  ]
  if problems:
    raise ValueError(
      f'{len(problems)} tensors do not fit:\n  ' + '\n  '.join(problems)
    )
  return flax.traverse_util.unflatten_dict(filled, sep='/')


def _flat(variables):
  return flax.traverse_util.flatten_dict(flax.core.unfreeze(variables), sep='/')

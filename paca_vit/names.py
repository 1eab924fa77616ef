"""The authors' PyTorch checkpoints as our variables, and back.

A checkpoint is their `state_dict`: a mapping of names to arrays. `_MODULES` is
the whole difference: for each module of ours, the name of theirs and how its
weight lies there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax
import numpy as np

Array = Any  # numpy's or jax's, or a tracer
PyTree = Any
# (pattern of our path, their name, how our kernel becomes their weight).
Modules = Sequence[tuple[str, str, Callable[[Array], Array]]]


def linear(kernel):
  """[I, O] to theirs [O, I]."""
  return kernel.transpose(1, 0)


def conv(kernel):
  """[k, k, I, O], 1x1 [I, O] or depth-wise [k, k, C] to theirs [O, I, k, k]."""
  if kernel.ndim == 2:
    kernel = kernel[None, None]
  elif kernel.ndim == 3:
    kernel = kernel[:, :, None]
  return kernel.transpose(3, 2, 0, 1)


def _same(x):
  return x


def _table(x):
  """[..., C] to theirs [1, N, C]."""
  return x.reshape(1, -1, x.shape[-1])


_BLOCK = r'stage_(\d+)_block_(\d+)/'
_TEACHER_BLOCK = r'teacher/stage_(\d+)_block_(\d+)/'
_PYRAMID = r'teacher/pyramid_(\d+)/'

_MODULES = [
  (r'stem/conv_(\d)', r'patch_embed.proj.\1', conv),
  (r'stem/norm', r'patch_embed.norm', _same),
  (r'stage_(\d+)_norm', r'norm\1', _same),
  (r'transition_(\d+)/conv_0', r'transition\1.proj', conv),
  (r'transition_(\d+)/norm', r'transition\1.norm', _same),
  (_BLOCK + r'norm(\d)', r'stage\1.\2.norm\3_before', _same),
  (_BLOCK + r'norm(\d)_after', r'stage\1.\2.norm\3_after', _same),
  (_BLOCK + r'layer_scale(\d)', r'stage\1.\2.gamma\3', _same),
  (_BLOCK + r'positions', r'stage\1.\2.pos_embed', _table),
  (_BLOCK + r'mlp/fc(\d)', r'stage\1.\2.mlp.fc\3', linear),
  (_BLOCK + r'mlp/spatial', r'stage\1.\2.mlp.dwconv.dwconv', conv),
  (_BLOCK + r'attention/query', r'stage\1.\2.attn.q', linear),
  (_BLOCK + r'attention/key', r'stage\1.\2.attn.k', linear),
  (_BLOCK + r'attention/value', r'stage\1.\2.attn.v', linear),
  (_BLOCK + r'attention/out', r'stage\1.\2.attn.proj', linear),
  (
    _BLOCK + r'attention/cluster_norm',
    r'stage\1.\2.attn.cluster_norm',
    _same,
  ),
  (
    _BLOCK + r'attention/cluster_position',
    r'stage\1.\2.attn.cluster_pos_enc',
    _table,
  ),
  # ConvClustering
  (
    _BLOCK + r'clustering/spatial',
    r'stage\1.\2.attn.clustering.clustering.0',
    conv,
  ),
  (
    _BLOCK + r'clustering/mix',
    r'stage\1.\2.attn.clustering.clustering.2',
    conv,
  ),
  (
    _BLOCK + r'clustering/to_clusters',
    r'stage\1.\2.attn.clustering.clustering.4',
    conv,
  ),
  # MlpClustering
  (
    _BLOCK + r'clustering/fc1',
    r'stage\1.\2.attn.clustering.clustering.0',
    linear,
  ),
  (
    _BLOCK + r'clustering/fc2',
    r'stage\1.\2.attn.clustering.clustering.2',
    linear,
  ),
  # LinearClustering
  (
    _BLOCK + r'clustering/fc',
    r'stage\1.\2.attn.clustering.clustering.0',
    linear,
  ),
  # ClusteringTeacher
  (_TEACHER_BLOCK + r'spatial', r'paca_teacher.block\1.\2.0.fn.0', conv),
  (_TEACHER_BLOCK + r'spatial_norm', r'paca_teacher.block\1.\2.0.fn.2', _same),
  (_TEACHER_BLOCK + r'mix/conv', r'paca_teacher.block\1.\2.1', conv),
  (_TEACHER_BLOCK + r'mix/norm', r'paca_teacher.block\1.\2.3', _same),
  (_PYRAMID + r'spatial', r'paca_teacher.fpn\1.0.fn.0', conv),
  (_PYRAMID + r'spatial_norm', r'paca_teacher.fpn\1.0.fn.2', _same),
  (_PYRAMID + r'mix/conv', r'paca_teacher.fpn\1.1', conv),
  (_PYRAMID + r'mix/norm', r'paca_teacher.fpn\1.3', _same),
  (
    r'teacher/transition_(\d+)/conv',
    r'paca_teacher.transition\1.0.conv',
    conv,
  ),
  (r'teacher/transition_(\d+)/norm', r'paca_teacher.transition\1.2', _same),
  (r'teacher/lateral_(\d+)/conv', r'paca_teacher.lateral\1.0', conv),
  (r'teacher/lateral_(\d+)/norm', r'paca_teacher.lateral\1.2', _same),
  (r'teacher/to_clusters_(\d+)', r'paca_teacher.to_clusters\1', conv),
  (r'head', r'head', linear),
]

# Of dense models: (ours, theirs) of a convolution or linear layer and its norm.
_CONV_NORMS = [
  # PacaHead
  (r'decode_head/level_(\d)', r'decode_head.convs.\1'),
  (r'decode_head/query', r'decode_head.q.0'),
  (r'decode_head/clustering', r'decode_head.clustering.0'),
  (r'decode_head/out', r'decode_head.proj'),
  # UperHead
  (r'decode_head/pool_(\d)', r'decode_head.psp_modules.\1.1'),
  (r'decode_head/top', r'decode_head.bottleneck'),
  (r'decode_head/lateral_(\d)', r'decode_head.lateral_convs.\1'),
  (r'decode_head/pyramid_(\d)', r'decode_head.fpn_convs.\1'),
  (r'decode_head/fuse', r'decode_head.fpn_bottleneck'),
  # FcnHead
  (r'auxiliary_head/conv', r'auxiliary_head.convs.0'),
]
_HEADS = [
  (r'(decode|auxiliary)_head/outputs/linear', r'\1_head.conv_seg', conv),
  (r'decode_head/to_clusters', r'decode_head.clustering.1', conv),
  (r'decode_head/key/linear', r'decode_head.k.0', linear),
  (r'decode_head/key/norm', r'decode_head.k.2', _same),
  (r'decode_head/value/linear', r'decode_head.v.0', linear),
  (r'decode_head/value/norm', r'decode_head.v.2', _same),
]
for _ours_prefix, _theirs_prefix in _CONV_NORMS:
  _HEADS += [
    (_ours_prefix + '/conv', _theirs_prefix + '.conv', conv),
    (_ours_prefix + '/norm', _theirs_prefix + '.bn', _same),
  ]

# The last part of our path and of their name.
_LEAVES = {
  'kernel': '.weight',
  'scale': '.weight',
  'bias': '.bias',
  'mean': '.running_mean',
  'var': '.running_var',
}

_BLUR = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16


def to_state_dict(
  variables: PyTree, beside: Modules | None = None
) -> dict[str, Array]:
  """Names and lays out our variables as the authors' model expects them.

  Args:
    variables: {'params', 'batch_stats'} of a `PacaViT` or `PacaSegmenter`;
      arrays, or tracers under `jax.eval_shape`.
    beside: modules beside a backbone; None: those of the models named above.

  Returns:
    name -> array of the type and dtype given, and their untrained buffers:
    `blur_filter` and `num_batches_tracked`, which is 0.

  Raises:
    ValueError: if a variable has no counterpart in the authors' code.
  """
  state_dict, unknown = {}, []
  places = _places(variables, beside)
  for path, value in _leaves(variables).items():
    name, layout = _name_and_layout(path, places)
    if name is None:
      unknown.append(path)
    else:
      state_dict[name] = layout(value)
  if unknown:
    raise ValueError(
      f"variables: no counterpart in the authors' code for {unknown}."
    )
  return state_dict | _buffers({k: v.shape for k, v in state_dict.items()})


def from_state_dict(
  state_dict: Mapping[str, np.ndarray],
  variables: PyTree,
  beside: Modules | None = None,
) -> PyTree:
  """Makes variables like `variables` of the authors' tensors.

  Args:
    state_dict: name -> numpy array. The untrained buffers (`blur_filter`,
      `num_batches_tracked`) may be absent.
    variables: {'params', 'batch_stats'} of a `PacaViT` or `PacaSegmenter`, or
      their ShapeDtypeStructs: the tree, shapes and dtypes to return.
    beside: as in `to_state_dict`.

  Returns:
    numpy arrays in the tree, shapes and dtypes of `variables`.

  Raises:
    ValueError: naming every variable without a tensor, every tensor without a
      variable, every tensor of another shape and every other blur filter.
  """
  leaves, shapes, problems = {}, {}, []
  places = _places(variables, beside)
  for path, leaf in _leaves(variables).items():
    name, layout = _name_and_layout(path, places)
    if name is None:
      problems.append(f"{path}: no counterpart in the authors' code")
      continue
    shapes[name] = layout(np.broadcast_to(np.float32(0), leaf.shape)).shape
    if name not in state_dict:
      problems.append(f'{path}: no tensor {name}')
      continue
    tensor = np.asarray(state_dict[name])
    if tensor.shape != shapes[name]:
      problems.append(
        f'{path}: expected {name} of shape {shapes[name]}, found {tensor.shape}'
      )
    else:
      ours = _ours(tensor, leaf.shape).reshape(leaf.shape)
      leaves[path] = ours.astype(leaf.dtype)

  buffers = _buffers(shapes)
  problems += [
    f'{name}: a tensor without a variable'
    for name in state_dict
    if name not in shapes and name not in buffers
  ]
  for name, value in buffers.items():
    if name.endswith('blur_filter') and name in state_dict:
      if not np.array_equal(state_dict[name], value):
        problems.append(f'{name}: not the binomial filter of this model')
  if problems:
    raise ValueError(
      'state_dict: does not fit the model:\n  ' + '\n  '.join(problems)
    )
  return flax.traverse_util.unflatten_dict(
    {tuple(path.split('/')): leaf for path, leaf in leaves.items()}
  )


def _leaves(variables):
  return flax.traverse_util.flatten_dict(dict(variables), sep='/')


def _places(variables, beside):
  """(our prefix, theirs, modules): where to look for what."""
  if beside is None:
    if not any(
      'decode_head' in collection for collection in variables.values()
    ):
      return [(r'(?:backbone/)?', '', _MODULES)]
    beside = _HEADS
  return [(r'backbone/', 'backbone.', _MODULES), ('', '', beside)]


def _name_and_layout(path, places):
  """Their name for our path and what lays our array out as theirs."""
  suffix = r'(?:/(?P<leaf>kernel|scale|bias|mean|var))?'
  for ours, theirs, modules in places:
    for module, name, layout in modules:
      match = re.fullmatch(
        r'(?:params|batch_stats)/' + ours + module + suffix, path
      )
      if match:
        leaf = match['leaf']
        layout = layout if leaf in ('kernel', None) else _same
        return theirs + match.expand(name) + _LEAVES.get(leaf, ''), layout
  return None, None


def _ours(tensor, shape):
  """The axes of a tensor in our order; lengths of 1 are still to drop."""
  if tensor.ndim == 2 and len(shape) == 4:  # a layer over a grid
    height, width, in_channels, out_channels = shape
    tensor = tensor.reshape(out_channels, in_channels, height, width)
  if tensor.ndim == 4:
    return tensor.transpose(2, 3, 1, 0)
  return tensor.transpose() if tensor.ndim == 2 else tensor


def _buffers(shapes):
  """Their untrained buffers, given the shapes of their other tensors."""
  buffers = {}
  for name, shape in shapes.items():
    if name.endswith('.running_var'):
      owner = name.removesuffix('running_var')
      buffers[owner + 'num_batches_tracked'] = np.zeros((), np.int64)
    match = re.fullmatch(
      r'((?:backbone\.)?paca_teacher.transition\d+.0).conv.weight', name
    )
    if match:
      blur = np.broadcast_to(_BLUR, (shape[1], 1, 3, 3))
      buffers[match[1] + '.blur_filter'] = blur
  return buffers

"""Weights of the published checkpoints, by DeepMind or Hugging Face's names.

Names are translated to the paths of this package's variables by two tables: one
for what repeats inside of layers, one for where a layer is. Where a pattern has
several targets, the one that the model has is meant.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any

# Steps after which a running average needs no correction: 0.9^1000 is 0.
_SETTLED = 1000
_Table = tuple[tuple[str, str], ...]

_HAIKU_LAYERS: _Table = (
  (r'/attention/linear/', '/attention/query/'),
  (r'/attention/linear_1/', '/attention/key/'),
  (r'/attention/linear_2/', '/attention/value/'),
  (r'/attention/linear_3/', '/attention/output/'),
  (r'/mlp/linear/', '/mlp/hidden/'),
  (r'/mlp/linear_1/', '/mlp/output/'),
  (r'cross_attention/layer_norm/', 'cross_attention/query_norm/'),
  (r'cross_attention/layer_norm_1/', 'cross_attention/input_norm/'),
  (r'cross_attention/layer_norm_2/', 'cross_attention/mlp_norm/'),
  (r'(self_attention\w*)/layer_norm/', r'\1/norm/'),
  (r'(self_attention\w*)/layer_norm_1/', r'\1/mlp_norm/'),
  (r'\b(self_attention|batchnorm|conv)/', r'\1_0/'),
  (r'/w$', '/kernel'),
  (r'/(b|offset)$', '/bias'),
  (r'/(mean|var)_ema/average$', r'/\1'),
  (r'/(mean|var)_ema/hidden$', r'/\1_hidden'),
  (r'/(mean|var)_ema/counter$', '/counter'),
)
_ENCODER = r'(?:perceiver_)?encoder/~'
_DECODER = r'(?:\w+_decoder/~/)?basic_decoder'
_STEM = r'image_preprocessor/~/conv2_d_downsample/~'
_BUILD = r'image_preprocessor/~_build_network_inputs'
_TABLE = r'trainable_position_encoding/pos_embs'
_HAIKU_PLACES: _Table = (
  (r'embed/embeddings', 'params/inputs/embedding'),
  (_TABLE, 'params/inputs/positions/table'),
  (r'embedding_decoder/bias', 'params/outputs/bias'),
  (rf'{_ENCODER}/{_TABLE}', 'params/encoder/latents'),
  (rf'{_ENCODER}/cross_attention/(.*)', r'params/encoder/cross_attend_0/\1'),
  (rf'{_ENCODER}/self_attention_(.*)', r'params/encoder/self_attend_\1'),
  (rf'{_DECODER}/cross_attention/(.*)', r'params/decoder/\1'),
  (rf'{_DECODER}/output/(.*)', r'params/outputs/linear/\1'),
  (rf'{_DECODER}/output/(.*)', r'params/projection/linear/\1'),
  (rf'{_DECODER}/~/{_TABLE}', 'params/queries/table'),
  (rf'{_DECODER}/~/position_encoding_projector/(linear/.*)',
   r'params/queries/positions/\1'),
  (rf'classification_decoder/~/basic_decoder/~/{_TABLE}',
   'params/queries_label/table'),
  (r'projection_decoder/~/logits/(.*)', r'params/outputs/linear/\1'),
  (r'image_preprocessor/~/conv2_d/(.*)', r'params/inputs/features/linear/\1'),
  (r'image_preprocessor/patches_linear/(.*)',
   r'params/inputs/features/linear/\1'),
  (rf'{_STEM}/conv_(.*)', r'params/inputs/features/conv_\1'),
  (rf'{_STEM}/batchnorm_(\d+)/(\w+)',
   r'params/inputs/features/batch_norm_\1/\2'),
  (rf'{_STEM}/batchnorm_(\d+)/~/(\w+)',
   r'batch_stats/inputs/features/batch_norm_\1/\2'),
  (rf'{_BUILD}/position_encoding_projector/(linear/.*)',
   r'params/inputs/positions/\1'),
  (rf'{_BUILD}/{_TABLE}', 'params/inputs/positions/positions/table'),
  (rf'{_BUILD}/{_TABLE}', 'params/inputs/positions/table'),
  (r'multimodal_preprocessor/(\w+)_(padding|mask)(?:_token)?/pos_embs',
   r'params/inputs/\2/\1'),
  (r'multimodal_decoder/~decoder_query/(\w+)_padding/pos_embs',
   r'params/padding/\1'),
  (r'audio_postprocessor/linear/(.*)', r'params/outputs_audio/linear/\1'),
  (r'projection_postprocessor/linear/(.*)', r'params/outputs_image/linear/\1'),
  (r'classification_postprocessor/linear/(.*)',
   r'params/outputs_label/linear/\1'),
)  # fmt: skip

_HF_LAYERS: _Table = (
  (r'\.', '/'),
  (r'/attention/self/(query|key|value)/', r'/attention/\1/'),
  (r'/attention/output/dense/', '/attention/output/'),
  (r'(cross_attention)/attention/self/layernorm1/', r'\1/query_norm/'),
  (r'(cross_attention)/attention/self/layernorm2/', r'\1/input_norm/'),
  (r'/attention/self/layernorm1/', '/norm/'),
  (r'/layernorm/', '/mlp_norm/'),
  (r'/mlp/dense1/', '/mlp/hidden/'),
  (r'/mlp/dense2/', '/mlp/output/'),
  (r'(norm)/weight$', r'\1/scale'),
  (r'/weight$', '/kernel'),
  (r'/running_(mean|var)', r'/\1'),
)
_IN = r'perceiver/input_preprocessor'
_OUT = r'perceiver/decoder(?:/decoder)?'
_QUERY = r'output_position_encodings/position_embeddings'
_HF_PLACES: _Table = (
  (rf'{_IN}/embeddings/kernel', 'params/inputs/embedding'),
  (rf'{_IN}/position_embeddings/kernel', 'params/inputs/positions/table'),
  (r'embedding_decoder/bias', 'params/outputs/bias'),
  (r'perceiver/embeddings/latents', 'params/encoder/latents'),
  (r'perceiver/encoder/cross_attention/(.*)',
   r'params/encoder/cross_attend_0/\1'),
  (r'perceiver/encoder/self_attends/(\d+)/(.*)',
   r'params/encoder/self_attend_\1/\2'),
  (rf'{_OUT}/decoding_cross_attention/(.*)', r'params/decoder/\1'),
  (rf'{_OUT}/final_layer/(.*)', r'params/outputs/linear/\1'),
  (rf'{_OUT}/final_layer/(.*)', r'params/projection/linear/\1'),
  (rf'{_OUT}/{_QUERY}', 'params/queries/table'),
  (rf'perceiver/decoder/modalities/label/decoder/{_QUERY}',
   'params/queries_label/table'),
  (rf'{_IN}/(?:convnet_1x1|conv_after_patches)/(.*)',
   r'params/inputs/features/linear/\1'),
  (rf'{_IN}/convnet/conv/(.*)', r'params/inputs/features/conv_0/\1'),
  (rf'{_IN}/convnet/batchnorm/(scale|bias)',
   r'params/inputs/features/batch_norm_0/\1'),
  (rf'{_IN}/convnet/batchnorm/((?:mean|var)(?:_hidden)?|counter)',
   r'batch_stats/inputs/features/batch_norm_0/\1'),
  (rf'{_IN}/positions_projection/(.*)', r'params/inputs/positions/linear/\1'),
  (rf'{_IN}/position_embeddings/position_embeddings',
   'params/inputs/positions/positions/table'),
  (rf'{_IN}/(padding|mask)/(\w+)', r'params/inputs/\1/\2'),
  (r'perceiver/decoder/padding/(\w+)', r'params/padding/\1'),
  (r'perceiver/output_postprocessor/modalities/(\w+)/classifier/(.*)',
   r'params/outputs_\1/linear/\2'),
)  # fmt: skip


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
      variables without a tensor, and those whose shapes differ.
  """
  return _fill(
    {**params, **(state or {})}, variables, _HAIKU_LAYERS, _HAIKU_PLACES
  )


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
  tensors = {}
  for name, x in state_dict.items():
    stem, _, last = name.rpartition('.')
    if last == 'num_batches_tracked':
      # Tells nothing: the converter leaves it at 0, the averages complete.
      tensors[f'{stem}.counter'] = np.int32(_SETTLED)
      continue
    tensors[name] = x
    if last in ('running_mean', 'running_var'):
      tensors[f'{name}_hidden'] = x

  def layout(path: str, x: np.ndarray) -> np.ndarray:
    if not path.endswith('/kernel'):
      return x
    if x.ndim == 4 and not swapped_convolution:
      return x.transpose(2, 3, 1, 0)
    return x.T

  return _fill(tensors, variables, _HF_LAYERS, _HF_PLACES, layout)


def _fill(
  tensors: Mapping[str, Any],
  variables: PyTree,
  layers: _Table,
  places: _Table,
  layout: Callable[[str, np.ndarray], np.ndarray] = lambda _, x: x,
) -> PyTree:
  """Lays tensors out, under their new names, and compares both sides."""
  expected = flax.traverse_util.flatten_dict(
    flax.core.unfreeze(variables), sep='/'
  )
  filled, problems = {}, []
  for name, x in tensors.items():
    path = _translate(name, layers, places, expected)
    if path is None:
      problems.append(f'{name} {np.shape(x)}: no place in the model')
      continue
    x = layout(path, np.asarray(x))
    leaf = expected[path]
    while x.ndim > len(leaf.shape) and x.shape[0] == 1:
      x = x[0]
    if x.shape != leaf.shape:
      problems.append(
        f'{name}: found {x.shape}, expected {leaf.shape} for {path}'
      )
    elif path in filled and not np.array_equal(filled[path], x):
      problems.append(f'{name}: differs from another tensor for {path}')
    dtype = jax.dtypes.canonicalize_dtype(
      jnp.promote_types(x.dtype, leaf.dtype)
    )
    filled[path] = jnp.asarray(x, dtype)
  problems += [
    f'{path} {expected[path].shape}: not in the checkpoint'
    for path in sorted(set(expected) - set(filled))
  ]
  if problems:
    raise ValueError(
      f'{len(problems)} tensors do not fit:\n  ' + '\n  '.join(problems)
    )
  return flax.traverse_util.unflatten_dict(filled, sep='/')


def _translate(
  name: str, layers: _Table, places: _Table, known: Iterable[str]
) -> str | None:
  for pattern, replacement in layers:
    name = re.sub(pattern, replacement, name)
  for pattern, target in places:
    if match := re.fullmatch(pattern, name):
      if (path := match.expand(target)) in known:
        return path
  return None

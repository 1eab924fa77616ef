"""Our variables under DeepMind's and under Hugging Face's names.

The way back from `pretrained`: what is written here, it reads, and so do the
programs of those who published.
"""

import re
from typing import Any, NamedTuple

import flax

PyTree = Any


class _Kind(NamedTuple):
  """What the names of a kind of model share."""

  encoder: str
  decoder: str
  hf_decoder: str


_ENCODER = 'perceiver_encoder/~'
_LANGUAGE = _Kind(_ENCODER, 'basic_decoder', 'perceiver.decoder')
_CLASSIFIER = _Kind(
  _ENCODER,
  'classification_decoder/~/basic_decoder',
  'perceiver.decoder.decoder',
)
_FLOW = _CLASSIFIER._replace(decoder='flow_decoder/~/basic_decoder')
_MULTIMODAL = _CLASSIFIER._replace(
  encoder='encoder/~', decoder='multimodal_decoder/~/basic_decoder'
)

# Modules of a layer: ours, DeepMind's, Hugging Face's.
_ATTEND = (
  ('attention/query', 'attention/linear', 'attention.self.query'),
  ('attention/key', 'attention/linear_1', 'attention.self.key'),
  ('attention/value', 'attention/linear_2', 'attention.self.value'),
  ('attention/output', 'attention/linear_3', 'attention.output.dense'),
  ('mlp/hidden', 'mlp/linear', 'mlp.dense1'),
  ('mlp/output', 'mlp/linear_1', 'mlp.dense2'),
)
_CROSS_ATTEND = _ATTEND + (
  ('query_norm', 'layer_norm', 'attention.self.layernorm1'),
  ('input_norm', 'layer_norm_1', 'attention.self.layernorm2'),
  ('mlp_norm', 'layer_norm_2', 'layernorm'),
)
_SELF_ATTEND = _ATTEND + (
  ('norm', 'layer_norm', 'attention.self.layernorm1'),
  ('mlp_norm', 'layer_norm_1', 'layernorm'),
)


def _layers(place: str, haiku: str, hf: str, modules) -> list[tuple]:
  return [
    (f'{place}/{ours}', f'{haiku}/{theirs}', f'{hf}.{hfs}')
    for ours, theirs, hfs in modules
  ]


_BUILD = 'image_preprocessor/~_build_network_inputs'
_STEM = 'image_preprocessor/~/conv2_d_downsample/~'
_IN = 'perceiver.input_preprocessor'
_HEADS = 'perceiver.output_postprocessor.modalities'
_LABEL_QUERY = 'classification_decoder/~/basic_decoder'

# Modules, or variables where a name says the whole: ours, DeepMind's (a number
# of 0 is left out), Hugging Face's. The first that fits.
_PLACES = [
  ('inputs/embedding', 'embed/embeddings', f'{_IN}.embeddings.weight'),
  ('outputs/bias', 'embedding_decoder/bias', 'embedding_decoder.bias'),
  (
    'encoder/latents',
    '{encoder}/trainable_position_encoding/pos_embs',
    'perceiver.embeddings.latents',
  ),
  *_layers(
    'encoder/cross_attend_0',
    '{encoder}/cross_attention',
    'perceiver.encoder.cross_attention',
    _CROSS_ATTEND,
  ),
  *_layers(
    r'encoder/self_attend_(?P<i>\d+)',
    '{encoder}/self_attention{i}',
    r'perceiver.encoder.self_attends.{number}',
    _SELF_ATTEND,
  ),
  *_layers(
    'decoder',
    '{decoder}/cross_attention',
    '{hf_decoder}.decoding_cross_attention',
    _CROSS_ATTEND,
  ),
  (
    'queries/table',
    '{decoder}/~/trainable_position_encoding/pos_embs',
    '{hf_decoder}.output_position_encodings.position_embeddings',
  ),
  (
    'queries_label/table',
    f'{_LABEL_QUERY}/~/trainable_position_encoding/pos_embs',
    'perceiver.decoder.modalities.label.decoder.output_position_encodings'
    '.position_embeddings',
  ),
  (
    '(outputs|projection)/linear',
    '{decoder}/output',
    '{hf_decoder}.final_layer',
  ),
  (
    'outputs_audio/linear',
    'audio_postprocessor/linear',
    f'{_HEADS}.audio.classifier',
  ),
  (
    'outputs_image/linear',
    'projection_postprocessor/linear',
    f'{_HEADS}.image.classifier',
  ),
  (
    'outputs_label/linear',
    'classification_postprocessor/linear',
    f'{_HEADS}.label.classifier',
  ),
  (
    r'inputs/features/conv_(?P<i>\d+)',
    f'{_STEM}/conv{{i}}',
    f'{_IN}.convnet.conv',
  ),
  (
    r'inputs/features/batch_norm_(?P<i>\d+)',
    f'{_STEM}/batchnorm{{i}}',
    f'{_IN}.convnet.batchnorm',
  ),
  (
    'inputs/positions/linear',
    f'{_BUILD}/position_encoding_projector/linear',
    f'{_IN}.positions_projection',
  ),
  (
    'inputs/positions/(positions/)?table',
    f'{_BUILD}/trainable_position_encoding/pos_embs',
    f'{_IN}.position_embeddings.position_embeddings',
  ),
  (
    r'inputs/padding/(?P<name>\w+)',
    'multimodal_preprocessor/{name}_padding/pos_embs',
    f'{_IN}.padding.{{name}}',
  ),
  (
    r'inputs/mask/(?P<name>\w+)',
    'multimodal_preprocessor/{name}_mask_token/pos_embs',
    f'{_IN}.mask.{{name}}',
  ),
  (
    r'padding/(?P<name>\w+)',
    'multimodal_decoder/~decoder_query/{name}_padding/pos_embs',
    'perceiver.decoder.padding.{name}',
  ),
]
_ONLY_LANGUAGE = [
  (
    'inputs/positions/table',
    'trainable_position_encoding/pos_embs',
    f'{_IN}.position_embeddings.weight',
  )
]
_ONLY_FLOW = [
  (
    'inputs/features/linear',
    'image_preprocessor/patches_linear',
    f'{_IN}.conv_after_patches',
  )
]
_NOT_FLOW = [
  (
    'inputs/features/linear',
    'image_preprocessor/~/conv2_d',
    f'{_IN}.convnet_1x1',
  )
]
_ONLY_POOLED = [('outputs/linear', 'projection_decoder/~/logits', None)]


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
  params, state = {}, {}
  for path, x, module, _ in _places(variables):
    leaf = path.rsplit('/', 1)[-1]
    if path.startswith('batch_stats/'):
      if leaf == 'counter':
        for kind in 'mean_ema', 'var_ema':
          state[f'{module}/~/{kind}/counter'] = x
      else:
        kind, _, hidden = leaf.partition('_')
        leaf = hidden or 'average'
        state[f'{module}/~/{kind}_ema/{leaf}'] = x.reshape(1, 1, 1, -1)
    elif leaf == 'kernel':
      if module.endswith('conv2_d'):
        x = x[None, None]  # a 1x1 convolution
      params[f'{module}/w'] = x
    elif leaf in ('scale', 'bias') and not module.endswith('/bias'):
      if 'batchnorm' in module:
        x = x.reshape(1, 1, 1, -1)
      if leaf == 'bias':
        leaf = 'offset' if re.search('norm', module) else 'b'
      params[f'{module}/{leaf}'] = x
    else:
      params[module] = x[None] if x.ndim == 1 and 'pos_embs' in module else x
  return params, state


def to_hugging_face(variables: PyTree) -> dict[str, Any]:
  """Names and lays out variables as PyTorch's Perceivers of `transformers`.

  What they do not have is not written: sums from which running averages are
  corrected. Kernels of convolutions are [out, in, H, W].

  Args, raises: as `to_haiku`'s; Hugging Face has no Perceiver without queries
  and one convolution at most.
  """
  tensors = {}
  for path, x, _, module in _places(variables, hugging_face=True):
    leaf = path.rsplit('/', 1)[-1]
    if leaf.endswith('_hidden'):
      continue
    if leaf == 'counter':
      name = f'{module}.num_batches_tracked'
    elif leaf in ('mean', 'var'):
      name = f'{module}.running_{leaf}'
    elif leaf == 'kernel':
      name = f'{module}.weight'
      if module.endswith('convnet_1x1'):
        x = x[None, None]
      x = x.transpose(3, 2, 0, 1) if x.ndim == 4 else x.T
    elif leaf == 'scale' or leaf == 'bias' and not module.endswith('.bias'):
      name = f'{module}.{"weight" if leaf == "scale" else "bias"}'
    else:
      name = module
      if x.ndim == 1 and re.search(r'padding|mask', module):
        x = x[None]
    if name in tensors:
      raise ValueError(f"variables: Hugging Face's models have one {name}.")
    tensors[name] = x
  return tensors


def _places(variables, hugging_face=False):
  """Yields (our path, array, DeepMind's module, Hugging Face's module)."""
  flat = flax.traverse_util.flatten_dict(flax.core.unfreeze(variables), sep='/')
  kind, places = _kind(flat)
  found, unknown = [], []
  for path, x in flat.items():
    ours = re.sub(r'^(params|batch_stats)/', '', path)
    for pattern, haiku, hf in places:
      leaf = r'(/(kernel|scale|bias|counter|(mean|var)(_hidden)?))?'
      match = re.fullmatch(pattern + leaf, ours)
      if match and hugging_face and hf is None:
        unknown.append(path)
        break
      if match:
        groups = match.groupdict()
        number = groups.get('i', '0')
        words = kind._asdict() | {
          'i': '' if number == '0' else f'_{number}',
          'number': number,
          'name': groups.get('name'),
        }
        hf = hf and hf.format(**words)
        found.append((path, x, haiku.format(**words), hf))
        break
    else:
      unknown.append(path)
  theirs = "Hugging Face's" if hugging_face else "DeepMind's"
  if unknown:
    raise ValueError(f'variables: {theirs} models have no {unknown}.')
  return found


def _kind(flat):
  """The kind of model that has these variables, and its table of places."""
  if 'params/inputs/embedding' in flat:
    return _LANGUAGE, _ONLY_LANGUAGE + _PLACES
  if 'params/queries_label/table' in flat:
    return _MULTIMODAL, _PLACES
  if 'params/queries/table' in flat:
    return _CLASSIFIER, _NOT_FLOW + _PLACES
  if any(path.startswith('params/decoder/') for path in flat):
    return _FLOW, _ONLY_FLOW + _PLACES
  return _CLASSIFIER, _ONLY_POOLED + _NOT_FLOW + _PLACES

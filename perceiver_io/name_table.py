"""DeepMind's and Hugging Face's names of our variables: one table.

`_PLACES` is the whole difference: for each module of ours, or variable where a
name says the whole, DeepMind's name and Hugging Face's. `names` reads and
writes by it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple


class _Kind(NamedTuple):
  """What the names of a kind of model share."""

  encoder: str
  decoder: str
  hf_decoder: str


_BASIC, _HF_BASIC = 'basic_decoder', 'perceiver.decoder.decoder'
_LANGUAGE = _Kind('perceiver_encoder/~', _BASIC, 'perceiver.decoder')
_CLASSIFIER = _Kind(
  'perceiver_encoder/~', f'classification_decoder/~/{_BASIC}', _HF_BASIC
)
_FLOW = _CLASSIFIER._replace(decoder=f'flow_decoder/~/{_BASIC}')
_MULTIMODAL = _Kind('encoder/~', f'multimodal_decoder/~/{_BASIC}', _HF_BASIC)

# fmt: off
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


def _layers(place, haiku, hf, modules):
  return [
    (f'{place}/{ours}', f'{haiku}/{theirs}', f'{hf}.{hfs}')
    for ours, theirs, hfs in modules
  ]


_TABLE = 'trainable_position_encoding/pos_embs'
_BUILD = 'image_preprocessor/~_build_network_inputs'
_STEM = 'image_preprocessor/~/conv2_d_downsample/~'
_IN = 'perceiver.input_preprocessor'
_HEADS = 'perceiver.output_postprocessor.modalities'
_QUERY = 'output_position_encodings.position_embeddings'

# Ours, DeepMind's (a number of 0 is left out), Hugging Face's or None.
_PLACES = [
  ('inputs/embedding', 'embed/embeddings', f'{_IN}.embeddings.weight'),
  ('outputs/bias', 'embedding_decoder/bias', 'embedding_decoder.bias'),
  ('encoder/latents', f'{{encoder}}/{_TABLE}', 'perceiver.embeddings.latents'),
  *_layers(
    'encoder/cross_attend_0', '{encoder}/cross_attention',
    'perceiver.encoder.cross_attention', _CROSS_ATTEND,
  ),
  *_layers(
    r'encoder/self_attend_(?P<i>\d+)', '{encoder}/self_attention{i}',
    'perceiver.encoder.self_attends.{number}', _SELF_ATTEND,
  ),
  *_layers(
    'decoder', '{decoder}/cross_attention',
    '{hf_decoder}.decoding_cross_attention', _CROSS_ATTEND,
  ),
  ('queries/table', f'{{decoder}}/~/{_TABLE}', f'{{hf_decoder}}.{_QUERY}'),
  ('queries/positions/linear',
   '{decoder}/~/position_encoding_projector/linear', None),
  ('queries_label/table', f'classification_decoder/~/{_BASIC}/~/{_TABLE}',
   f'perceiver.decoder.modalities.label.decoder.{_QUERY}'),
  ('(outputs|projection)/linear', '{decoder}/output',
   '{hf_decoder}.final_layer'),
  ('outputs_audio/linear', 'audio_postprocessor/linear',
   f'{_HEADS}.audio.classifier'),
  ('outputs_image/linear', 'projection_postprocessor/linear',
   f'{_HEADS}.image.classifier'),
  ('outputs_label/linear', 'classification_postprocessor/linear',
   f'{_HEADS}.label.classifier'),
  (r'inputs/features/conv_(?P<i>\d+)', f'{_STEM}/conv{{i}}',
   f'{_IN}.convnet.conv'),
  (r'inputs/features/batch_norm_(?P<i>\d+)', f'{_STEM}/batchnorm{{i}}',
   f'{_IN}.convnet.batchnorm'),
  ('inputs/positions/linear', f'{_BUILD}/position_encoding_projector/linear',
   f'{_IN}.positions_projection'),
  ('inputs/positions/(positions/)?table', f'{_BUILD}/{_TABLE}',
   f'{_IN}.position_embeddings.position_embeddings'),
  (r'inputs/padding/(?P<name>\w+)',
   'multimodal_preprocessor/{name}_padding/pos_embs',
   f'{_IN}.padding.{{name}}'),
  (r'inputs/mask/(?P<name>\w+)',
   'multimodal_preprocessor/{name}_mask_token/pos_embs',
   f'{_IN}.mask.{{name}}'),
  (r'padding/(?P<name>\w+)',
   'multimodal_decoder/~decoder_query/{name}_padding/pos_embs',
   'perceiver.decoder.padding.{name}'),
]
_ONLY_LANGUAGE = [
  ('inputs/positions/table', _TABLE, f'{_IN}.position_embeddings.weight'),
]
_ONLY_FLOW = [
  ('inputs/features/linear', 'image_preprocessor/patches_linear',
   f'{_IN}.conv_after_patches'),
]
_NOT_FLOW = [
  ('inputs/features/linear', 'image_preprocessor/~/conv2_d',
   f'{_IN}.convnet_1x1'),
]
_ONLY_POOLED = [('outputs/linear', 'projection_decoder/~/logits', None)]
# fmt: on


class Place(NamedTuple):
  """Where a variable of ours is in others' models.

  Attributes:
    path: ours.
    leaf: its last part, where that is no part of the others' name, or ''.
    haiku: DeepMind's module, or the whole name.
    hugging_face: Hugging Face's; None if it has no such module.
  """

  path: str
  leaf: str
  haiku: str
  hugging_face: str | None


def places(paths: Iterable[str]) -> list[Place]:
  """The places of a model's variables.

  Args:
    paths: 'params/...' and 'batch_stats/...', all of a published model, in any
      size, or of a part of one.

  Raises:
    ValueError: naming the variables that DeepMind's models do not have.
  """
  paths = list(paths)
  kind, modules = _kind(paths)
  found, unknown = [], []
  for path in paths:
    ours = re.sub(r'^(params|batch_stats)/', '', path)
    for pattern, haiku, hugging_face in modules:
      leaf = r'(/(?P<leaf>kernel|scale|bias|counter|(mean|var)(_hidden)?))?'
      match = re.fullmatch(pattern + leaf, ours)
      if match:
        groups = match.groupdict()
        number = groups.get('i', '0')
        words = kind._asdict() | {
          'i': '' if number == '0' else f'_{number}',
          'number': number,
          'name': groups.get('name'),
        }
        names = haiku, hugging_face
        names = (name and name.format(**words) for name in names)
        found.append(Place(path, groups['leaf'] or '', *names))
        break
    else:
      unknown.append(path)
  if unknown:
    raise ValueError(f"variables: DeepMind's models have no {unknown}.")
  return found


def _kind(paths):
  """The kind of model that has these variables, and its table of places."""
  if 'params/inputs/embedding' in paths:
    return _LANGUAGE, _ONLY_LANGUAGE + _PLACES
  if 'params/queries_label/table' in paths:
    return _MULTIMODAL, _PLACES
  if 'params/queries/table' in paths:
    return _CLASSIFIER, _NOT_FLOW + _PLACES
  if any(path.startswith('params/decoder/') for path in paths):
    return _FLOW, _ONLY_FLOW + _PLACES
  return _CLASSIFIER, _ONLY_POOLED + _NOT_FLOW + _PLACES

"""What the Hugging Face hub has beside weights: config.json, and an upload.

config.json is `transformers`', which then loads what was trained here: masked
language models, and classifiers of pixels with Fourier features, in the sizes
that it has options for.
"""

import importlib.util
import json
import pathlib
import re

import jax
import numpy as np

from perceiver_io import load, variants
from tools.export.run import Exportable

CONFIG = 'config.json'
# As ours; by default theirs compute the exact GELU, and in the file's type.
_COMMON = {
  'model_type': 'perceiver',
  'hidden_act': 'gelu_pytorch_tanh',
  'dtype': 'float32',
}
_MLM = 'perceiver_io.models.masked_language_modelling'
_IMAGES = 'perceiver_io.tasks.classification'
_FOURIER = 'imagenet:fourier'
_FILE = 'model.safetensors'


def write_config(
  exportable: Exportable, folder: pathlib.Path, labels: tuple[str, ...] | None
) -> str | None:
  """Writes config.json beside model.safetensors, and reads both again.

  Args:
    exportable: the run, whose weights model.safetensors has.
    folder: of the files.
    labels: names of the classes.

  Returns:
    The class of `transformers` that loads the folder; None, and no file, if it
    has no such model.

  Raises:
    RuntimeError: what is read is not what was written.
  """
  variant, options = _options(exportable, labels)
  if variant is None:
    return None
  path = folder / CONFIG
  path.write_text(json.dumps(_COMMON | options, indent=2) + '\n')
  try:
    _, found = load(variant, folder / _FILE)
  except ValueError:  # A size that transformers has no option for.
    path.unlink()
    return None
  same = jax.tree.map(
    lambda x, y: np.array_equal(x, np.asarray(y, np.float32)),
    found,
    exportable.variables,
  )
  if not all(jax.tree.leaves(same)):
    raise RuntimeError(f'{path}: reads otherwise than it was written.')
  return options['architectures'][0]


def _options(exportable, labels):
  """The variant that a model is like and theirs of config.json, or Nones."""
  config, model = exportable.config, exportable.config.model
  if config.task.get('make_model') == _MLM:
    return 'mlm:base_bytes', dict(
      architectures=['PerceiverForMaskedLM'],
      vocab_size=model.vocab_size,
      max_position_embeddings=model.max_length,
      d_model=model.token_channels,
      num_latents=model.num_latents,
      d_latents=model.latent_channels,
      num_blocks=1,
      num_self_attends_per_block=model.num_self_attends,
      num_self_attention_heads=model.num_heads,
      num_cross_attention_heads=model.num_heads,
      qk_channels=model.qk_channels,
      v_channels=model.latent_channels,
    )
  if config.task.module != _IMAGES or not _is_published_kind(model):
    return None, None
  encoder = variants.VARIANTS[_FOURIER]['encoder'] | model.encoder.to_dict()
  names = labels or range(model.num_classes)
  return _FOURIER, dict(
    architectures=['PerceiverForImageClassificationFourier'],
    num_latents=encoder['num_latents'],
    d_latents=encoder['latent_channels'],
    num_blocks=encoder['num_blocks'],
    num_self_attends_per_block=encoder['num_self_attends_per_block'],
    num_self_attention_heads=encoder['num_self_attend_heads'],
    num_cross_attention_heads=encoder.get('num_cross_attend_heads', 1),
    self_attention_widening_factor=encoder['self_attend_widening_factor'],
    id2label={str(i): str(name) for i, name in enumerate(names)},
    label2id={str(name): i for i, name in enumerate(names)},
  )


def _is_published_kind(model):
  """Whether a classifier differs from the published one in size alone."""
  published, encoder = variants.VARIANTS[_FOURIER], model.encoder
  return (
    model.inputs.to_dict() == published['inputs']
    and model.get('decoder') is not None
    and model.decoder.use_query_residual
    and encoder.get('num_cross_attends', 1) == 1
    and encoder.get('share_weights', True)
  )


def push(folder: pathlib.Path, repository: str) -> str:
  """Uploads a folder, if the environment or a login has a token.

  Args:
    folder: to upload.
    repository: 'organisation/name'; made, private, if there is none.

  Returns:
    What to print.

  Raises:
    ValueError: it cannot be uploaded.
  """
  import huggingface_hub

  if not huggingface_hub.get_token():
    return (
      f'--push: no token (HF_TOKEN, or `hf auth login`), so nothing was '
      f'uploaded; the folder is laid out as the hub has it:\n'
      f'hf upload {repository} {folder}'
    )
  api = huggingface_hub.HfApi()
  try:
    api.create_repo(repository, private=True, exist_ok=True)
    done = api.upload_folder(repo_id=repository, folder_path=folder)
  except Exception as e:  # Of the client, of the network, of the hub.
    text = ' '.join(str(e).split())
    raise ValueError(
      f'--push: {repository} was not uploaded, {folder} is written: {text:.200}'
    ) from e
  return f'{done.commit_url}'


def check_push(repository: str) -> None:
  """Raises ValueError for no 'organisation/name', or without the client."""
  if not re.fullmatch(r'[\w.-]+/[\w.-]+', repository):
    raise ValueError(
      f'--push: found {repository!r}, expected organisation/name.'
    )
  if importlib.util.find_spec('huggingface_hub') is None:
    raise ValueError(
      "--push: found no package huggingface_hub; pip install '.[hub]'"
    )

"""The published models by name, with new or with published weights.

import perceiver_io
model, variables = perceiver_io.load('mlm', 'model.safetensors')
logits = model.apply(variables, ids)
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from perceiver_io import audio_visual, hugging_face, models, names, variants
from perceiver_io.perceiver import LanguageModel, Perceiver, PooledPerceiver
from perceiver_paca.ops import compiling
from perceiver_paca.ops.attention import Implementation
from perceiver_paca.weights import files

Dtype = jax.typing.DTypeLike
PyTree = Any
CONFIG = 'config.json'
# What the classifiers of images of any size were published for.
_IMAGE_SIZE = (224, 224)


class Made(NamedTuple):
  """A model without variables.

  Attributes:
    model: the module.
    inputs: what it is called with, shapes instead of arrays; batches of one.
  """

  model: nn.Module
  inputs: PyTree

  def shapes(self) -> PyTree:
    """Of its variables."""
    return jax.eval_shape(self.model.init, jax.random.key(0), self.inputs)


def load(
  variant: str,
  file: str | os.PathLike | None = None,
  *,
  swapped_convolution: bool | None = None,
  dtype: Dtype | None = None,
) -> tuple[LanguageModel | Perceiver | PooledPerceiver | nn.Module, PyTree]:
  """Makes a published model and its variables.

  Args:
    variant: a key of `variants.VARIANTS`, such as 'imagenet:fourier'; 'mlm' is
      'mlm:base_bytes'.
    file: DeepMind's pickle, or model.safetensors or pytorch_model.bin of
      Hugging Face; None for new parameters. Sizes are those of the config.json
      beside the file, if there is one, else the published ones.
    swapped_convolution: needed for Hugging Face's files with a 7x7
      convolution, see `names.from_hugging_face`.
    dtype: to compute in; float32 if None. Parameters are float32.

  Returns:
    The module, and variables for its `apply`.

  Raises:
    ValueError: there is no such variant, or the file is not safe, not known or
      of another model.
    FileNotFoundError: there is no such file.
  """
  variant = variants.full_name(variant)
  sizes = variants.VARIANTS[variant]
  if file is None:
    made = make(variant, sizes, dtype=dtype)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), made.inputs)
    init = jax.jit(made.model.init, compiler_options=compiling.RUNS_ONCE)
    return made.model, init(jax.random.key(0), zeros)
  file = os.fspath(file)
  tensors = files.load(file)
  config = os.path.join(os.path.dirname(file), CONFIG)
  if os.path.exists(config):
    sizes = hugging_face.sizes(config, variant, sizes)
  made = make(variant, sizes, dtype=dtype)
  try:
    variables = names.from_published(
      tensors, made.shapes(), swapped_convolution
    )
  except ValueError as e:
    first, *more = (line.strip() for line in str(e).splitlines())
    raise ValueError(
      ' '.join([f'{file}, as {variant}: {first}', *more[:1]])
    ) from e
  return made.model, variables


def make(
  variant: str,
  sizes: Mapping[str, Any] | None = None,
  *,
  dtype: Dtype | None = None,
  implementation: Implementation = 'auto',
  fold_projections: bool = True,
) -> Made:
  """Makes a model without variables.

  Args:
    variant: as for `load`.
    sizes: in the form of the variant's, and in their place.
    dtype: to compute in.
    implementation, fold_projections: see `attention.Attention`.
  """
  name = variants.full_name(variant)
  kind = name.partition(':')[0]
  sizes = dict(variants.VARIANTS[name] if sizes is None else sizes)
  attention = dict(
    implementation=implementation, fold_projections=fold_projections
  )
  if kind == 'mlm':
    model = models.masked_language_modelling(**sizes, **attention, dtype=dtype)
    return Made(model, _shape(1, sizes['max_length'], dtype='int32'))
  options = sizes.pop('encoder') | attention
  if kind == 'imagenet':
    model = models.image_classifier(encoder=options, **sizes, dtype=dtype)
    size = sizes['inputs'].get('image_size', _IMAGE_SIZE)
    return Made(model, _shape(1, *size, 3))
  if kind == 'audioset':
    model = audio_visual.classifier(encoder=options, **sizes, dtype=dtype)
    return Made(model, _sound_and_video(sizes['modalities']))
  encoder = models.encoder(**options, dtype=dtype)
  if kind == 'optical_flow':
    make_model = getattr(models, sizes.pop('kind'))
    model = make_model(encoder=encoder, **sizes, dtype=dtype)
    return Made(model, _shape(1, 2, *sizes['image_size'], 3))
  # As released: the points lie otherwise than where configs train.
  model = models.multimodal(
    encoder=encoder, **sizes, half_open_points=True, dtype=dtype
  )
  inputs = {
    'image': _shape(1, *sizes['video_size'], 3),
    'audio': _shape(1, sizes['num_audio_samples'], 1),
    'label': _shape(1, sizes['num_classes']),
  }
  return Made(model, inputs)


def _shape(*dims, dtype='float32'):
  return jax.ShapeDtypeStruct(dims, dtype)


def _sound_and_video(modalities):
  """32 frames, and 61,440 samples or 60 frames of 80 bands."""
  inputs = {'audio': _shape(1, 61_440, 1)}
  if modalities['audio']['kind'] == 'spectrogram':
    inputs['audio'] = _shape(1, 60, 80)
  if 'image' in modalities:
    inputs['image'] = _shape(1, 32, 224, 224, 3)
  return inputs

"""The published models by name, with new or with published weights.

import paca_vit
model, variables = paca_vit.load('tiny_p2cconv_100_0', 'file.pth')
logits = model.apply(variables, images, train=False)
"""

import os
from typing import Any

import jax
import jax.numpy as jnp

from paca_vit import classifier, names, segmentation, variants
from paca_vit.classifier import PacaViT
from paca_vit.segmentation import PacaSegmenter
from perceiver_paca.weights import files

PyTree = Any
# The parameters do not depend on the images' height and width.
_SIDE = 32


def load(
  variant: str,
  file: str | os.PathLike | None = None,
  *,
  dtype: jax.typing.DTypeLike = 'float32',
) -> tuple[PacaViT | PacaSegmenter, PyTree]:
  """Makes a published model and its variables.

  Args:
    variant: a key of `variants.VARIANTS`; a classifier also without
      'imagenet:'.
    file: the authors' PyTorch checkpoint; None for new parameters.
    dtype: to compute in. Parameters are float32.

  Returns:
    The module, and variables for its `apply`.

  Raises:
    ValueError: there is no such variant, or the file is not safe, not known or
      of another model.
    FileNotFoundError: there is no such file.
  """
  model = make(variant, dtype=dtype)
  if file is None:
    images = jnp.zeros((1, _SIDE, _SIDE, model.backbone.in_channels))
    init = jax.jit(model.init, static_argnames='train')
    return model, init(jax.random.key(0), images, train=False)
  file = os.fspath(file)
  tensors = files.load(file)
  try:
    variables = names.from_state_dict(tensors, shapes(model))
  except ValueError as e:
    first, *more = (line.strip() for line in str(e).splitlines())
    raise ValueError(
      ' '.join(
        [f'{file}, as {variants.full_name(variant)}: {first}', *more[:1]]
      )
    ) from e
  return model, jax.tree.map(jnp.asarray, variables)


def make(
  variant: str, *, dtype: jax.typing.DTypeLike = 'float32'
) -> PacaViT | PacaSegmenter:
  """Makes a model without variables; arguments as for `load`."""
  name = variants.full_name(variant)
  sizes = variants.VARIANTS[name] | dict(dtype=dtype, scan_layers=False)
  if name.startswith('imagenet:'):
    return classifier.make_classifier(sizes)
  return segmentation.make_segmenter(sizes)


def shapes(model: PacaViT | PacaSegmenter) -> PyTree:
  """Of a model's variables."""
  images = jax.ShapeDtypeStruct(
    (1, _SIDE, _SIDE, model.backbone.in_channels), jnp.float32
  )
  return jax.eval_shape(
    lambda images: model.init(jax.random.key(0), images, train=False), images
  )

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
from paca_vit.detection import mask_rcnn
from paca_vit.detection import names as detection_names
from paca_vit.detection.mask_rcnn import MaskRcnn
from paca_vit.segmentation import PacaSegmenter
from perceiver_paca.ops import compiling
from perceiver_paca.weights import files

PyTree = Any
# The parameters do not depend on the images' height and width.
_SIDE = 64


def load(
  variant: str,
  file: str | os.PathLike | None = None,
  *,
  dtype: jax.typing.DTypeLike = 'float32',
) -> tuple[PacaViT | PacaSegmenter | MaskRcnn, PyTree]:
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
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), _inputs(model))
    init = jax.jit(_init(model), compiler_options=compiling.RUNS_ONCE)
    return model, init(zeros)
  file = os.fspath(file)
  tensors = files.load(file)
  try:
    from_state_dict = names.from_state_dict
    if isinstance(model, MaskRcnn):
      from_state_dict = detection_names.from_state_dict
    variables = from_state_dict(tensors, shapes(model))
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
) -> PacaViT | PacaSegmenter | MaskRcnn:
  """Makes a model without variables; arguments as for `load`."""
  name = variants.full_name(variant)
  sizes = variants.VARIANTS[name] | dict(dtype=dtype, scan_layers=False)
  if name.startswith('imagenet:'):
    return classifier.make_classifier(sizes)
  if name.startswith('coco:'):
    return mask_rcnn.make_detector(sizes | dict(detector={}))
  return segmentation.make_segmenter(sizes)


def shapes(model: PacaViT | PacaSegmenter | MaskRcnn) -> PyTree:
  """Of a model's variables."""
  return jax.eval_shape(_init(model), _inputs(model))


def _init(model):
  options = {} if isinstance(model, MaskRcnn) else {'train': False}
  return lambda inputs: model.init(jax.random.key(0), *inputs, **options)


def _inputs(model):
  shape = (1, _SIDE, _SIDE, model.backbone.in_channels)
  images = jax.ShapeDtypeStruct(shape, jnp.float32)
  if isinstance(model, MaskRcnn):
    return images, jax.ShapeDtypeStruct((1, 2), jnp.int32)
  return (images,)

"""The published models, assembled from their sizes.

What all published models of a kind share is written here; the numbers in which
they differ are arguments, and the published values of those in `variants`.

`implementation`, `fold_projections` and `dtype` are everywhere those of
`attention.Attention`.
"""

from perceiver_io.models.autoencoders import multimodal
from perceiver_io.models.classifiers import (
  classifier,
  conv_features,
  fourier_pixels,
  image_classifier,
  learned_pixels,
)
from perceiver_io.models.encoders import encoder
from perceiver_io.models.flow import conv_optical_flow, optical_flow
from perceiver_io.models.language import masked_language_modelling

__all__ = [
  'classifier',
  'conv_features',
  'conv_optical_flow',
  'encoder',
  'fourier_pixels',
  'image_classifier',
  'learned_pixels',
  'masked_language_modelling',
  'multimodal',
  'optical_flow',
]

"""Published files are recognised by the names and shapes of their tensors."""

import json

import jax
import numpy as np
import pytest

from tests import golden_paca
from tests.test_tools_convert_weights import SPECS
from tools import convert_weights, published_models


def perceiver_spec(name):
  path = SPECS / f'perceiver_io/state_specs/{name}.json'
  return json.loads(path.read_text())


def hollow(described):
  """Zeros of any size in no memory, by name."""
  return {
    name: np.broadcast_to(np.float32(0), shape) for name, shape in described
  }


@pytest.mark.parametrize(
  'file, model',
  [
    ('mlm', 'perceiver_io/masked_language_modelling:base_bytes'),
    ('imagenet_learned', 'perceiver_io/imagenet:learned'),
    ('imagenet_fourier', 'perceiver_io/imagenet:fourier'),
    ('imagenet_conv', 'perceiver_io/imagenet:conv'),
    ('flow', 'perceiver_io/optical_flow'),
    ('multimodal', 'perceiver_io/kinetics'),
  ],
)
def test_published_perceivers_are_recognised(file, model):
  spec = perceiver_spec(file)
  for naming, entries in (
    ('haiku', spec['haiku']['params'] + spec['haiku']['state']),
    ('hugging_face', spec['hf']['state_dict']),
  ):
    tensors = hollow((e['key'], e['shape']) for e in entries)
    assert convert_weights.naming_of(tensors) == naming
    assert convert_weights.identify(tensors, naming) == model


@pytest.mark.parametrize(
  'variant', ['base_p2cconv_100_0', 'small_p2cmlp_100_0']
)
def test_published_pacavits_are_recognised(variant):
  path = SPECS / f'paca_vit/state_specs/{variant}.json'
  spec = json.loads(path.read_text())
  tensors = hollow((name, shape) for name, shape, _ in spec['tensors'])
  assert convert_weights.naming_of(tensors) == 'pacavit'
  found = convert_weights.identify(tensors, 'pacavit')
  assert found == f'paca_vit/imagenet:{variant}'


@pytest.mark.full
def test_published_segmenters_are_recognised():
  """By the authors' names, and for the other head by what we write."""
  path = SPECS / 'paca_vit/segmentation_specs/small_p2cconv_100_0_pacahead.json'
  spec = json.loads(path.read_text())
  paca_head = hollow((name, shape) for name, shape, _ in spec['tensors'])
  other = 'paca_vit/ade20k:upernet_tiny_p2cconv_100_0'
  upernet = jax.eval_shape(
    convert_weights.NAMINGS['pacavit'].export, published_models.variables(other)
  )
  for tensors, model in (
    (paca_head, 'paca_vit/ade20k:small_p2cconv_100_0'),
    (upernet, other),
  ):
    assert convert_weights.naming_of(tensors) == 'pacavit_segmentation'
    assert convert_weights.identify(tensors, 'pacavit_segmentation') == model
  config = published_models.config_of(other)
  assert config == 'configs/paca_vit/ade20k.py:upernet_tiny_p2cconv_100_0'


@pytest.mark.parametrize(
  'variant',
  golden_paca.by_tier(['tiny_p2cconv_100_0', 'small_p2cmlp_100_0']),
)
def test_published_detectors_are_recognised(variant):
  path = SPECS / f'detection/state_specs/mask_rcnn_{variant}.json'
  tensors = hollow(json.loads(path.read_text()).items())
  assert convert_weights.naming_of(tensors) == 'pacavit_detection'
  found = convert_weights.identify(tensors, 'pacavit_detection')
  assert found == f'paca_vit/coco:{variant}'

"""mmdetection's names of a Mask R-CNN as our variables, and back.

`MODULES` is the difference beside the backbone's, in the form of
`paca_vit.names`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from paca_vit import names

Array = Any  # numpy's or jax's, or a tracer
PyTree = Any


def _grid(kernel):
  """[h, w, I, O], of a flattened grid, to theirs [O, I h w]."""
  kernel = names.conv(kernel)
  return kernel.reshape(len(kernel), -1)


_BOXES, _MASKS = 'roi_head.bbox_head', 'roi_head.mask_head'
MODULES = (
  (r'pyramid/lateral_(\d)', r'neck.lateral_convs.\1.conv', names.conv),
  (r'pyramid/output_(\d)', r'neck.fpn_convs.\1.conv', names.conv),
  (r'rpn_head/hidden', r'rpn_head.rpn_conv', names.conv),
  (r'rpn_head/objectness', r'rpn_head.rpn_cls', names.conv),
  (r'rpn_head/deltas', r'rpn_head.rpn_reg', names.conv),
  (r'box_head/fc1', _BOXES + r'.shared_fcs.0', _grid),
  (r'box_head/fc2', _BOXES + r'.shared_fcs.1', names.linear),
  (r'box_head/logits', _BOXES + r'.fc_cls', names.linear),
  (r'box_head/deltas', _BOXES + r'.fc_reg', names.linear),
  (r'mask_head/conv_(\d)', _MASKS + r'.convs.\1.conv', names.conv),
  # Ours [2, 2, O, I], theirs [I, O, 2, 2].
  (r'mask_head/upsample', _MASKS + r'.upsample', names.conv),
  (r'mask_head/logits', _MASKS + r'.conv_logits', names.conv),
)


def to_state_dict(variables: PyTree) -> dict[str, Array]:
  """As `names.to_state_dict`, of a `MaskRcnn`."""
  return names.to_state_dict(variables, MODULES)


def from_state_dict(
  state_dict: Mapping[str, np.ndarray], variables: PyTree
) -> PyTree:
  """As `names.from_state_dict`, of a `MaskRcnn`."""
  return names.from_state_dict(state_dict, variables, MODULES)

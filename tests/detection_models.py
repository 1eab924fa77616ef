"""Detectors for tests: on given maps, with the goldens' weights."""

import flax
import flax.linen as nn
import jax
import numpy as np

from paca_vit import backbone
from paca_vit.detection import heads, mask_rcnn, names, targets
from tests import golden_detection, golden_paca

_GAINS = {
  'rpn_head.rpn_conv': 1.5,
  'rpn_head.rpn_reg': 0.4,
  'roi_head.bbox_head.shared_fcs': 1.5,
  'roi_head.bbox_head.fc_cls': 0.8,
  'roi_head.mask_head.convs': 1.5,
  'roi_head.mask_head.upsample': 2.0,
  'roi_head.mask_head.conv_logits': 3.0,
}


class GivenMaps(nn.Module):
  """In the place of a backbone: its images are the maps."""

  def __call__(self, images, train):
    del train
    return backbone.Features(list(images), [])


def small_detector(channels, box_channels, num_classes, dtype, **options):
  """On given maps; `channels` of everything but the box head."""
  return mask_rcnn.MaskRcnn(
    GivenMaps(),
    heads.Pyramid(channels, dtype),
    heads.RpnHead(channels, dtype=dtype),
    heads.BoxHead(num_classes, box_channels, dtype),
    heads.MaskHead(num_classes, channels, dtype=dtype),
    **options,
  )


def golden_tensor(name, shape):
  """The golden tensor of a name of mmdetection's."""
  x = golden_paca.normal(name, shape)
  if x.ndim == 1:
    return x * np.float32(0.1)
  gain = next((g for p, g in _GAINS.items() if name.startswith(p)), 1.0)
  return x * np.float32(gain / np.sqrt(np.prod(x.shape[1:])))


def golden_variables(model, inputs, dtype):
  """The golden variables of a model, called with `inputs`, in `dtype`."""
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs))
  wanted = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, np.dtype(dtype)), shapes
  )
  theirs = jax.eval_shape(names.to_state_dict, shapes)
  tensors = {k: golden_tensor(k, x.shape) for k, x in theirs.items()}
  return flax.core.freeze(names.from_state_dict(tensors, wanted))


def pad(x, length, value=0):
  """x [n, ...] filled up to [length, ...]."""
  return np.pad(
    x,
    [(0, length - len(x))] + [(0, 0)] * (x.ndim - 1),
    constant_values=value,
  )


def golden_objects(data, num_slots):
  """The objects of an end-to-end golden's two images, float32."""
  objects = []
  for i in range(2):
    masks = golden_detection.unpack(
      data[f'in.gt_masks_packed.{i}'], data[f'in.gt_masks_shape.{i}']
    )
    boxes = data[f'in.gt_boxes.{i}']
    objects.append(
      targets.Objects(
        pad(boxes, num_slots),
        pad(data[f'in.gt_labels.{i}'].astype(np.int32), num_slots),
        pad(np.packbits(masks, axis=-1), num_slots),
        np.arange(num_slots) < len(boxes),
      )
    )
  return jax.tree.map(lambda *x: np.stack(x), *objects)


def golden_sample(positives, negatives, num_slots):
  """A `Sample` of given indices."""
  index = np.concatenate([positives, negatives])
  slot = np.arange(num_slots)
  return targets.Sample(
    pad(index, num_slots), slot < len(positives), slot < len(index)
  )

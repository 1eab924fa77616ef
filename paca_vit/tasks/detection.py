"""Object detection and instance segmentation with PaCa-ViT.

Shapes: B batch, H, W of the canvas (the padded image; multiples of 32), C
channels, G slots for objects, D for detections, K classes, M clusters.
"""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections

from paca_vit.detection import mask_rcnn
from paca_vit.detection.targets import Objects
from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import mesh
from train_lib import metrics
from train_lib.task import LossAux

PREDICTIONS = 'paca_vit.evaluators.detection_predictions'
LOSSES = ('rpn_objectness', 'rpn_boxes', 'classes', 'boxes', 'masks')


@dataclasses.dataclass(frozen=True)
class Detection:
  """Batch keys: `image` [B, H, W, C] float32, normalised, 0 below and right of
  the image; `image_size` [B, 2] int32, its height and width there; `mask` [B].

  For losses also what there is in the images, in at least one slot: `boxes`
  [B, G, 4] float32, x1, y1, x2, y2 in pixels of the canvas; `classes` [B, G]
  int32 below K; `masks` [B, G, H, W / 8] uint8, 8 pixels of a row a byte, the
  first the highest bit (`numpy.packbits`); `box_mask` [B, G] bool, the slots
  that are taken. Boxes without an area are left out.

  The loss is the sum of five, each the mean over groups of images of what a
  group's sum is divided by its count (`detection.losses`).

  Attributes:
    model: the detector.
    group_size: images of a group, neighbours in the batch. As published 2, a
      GPU's; a batch, or a micro-batch of it, is a multiple.
  """

  model: mask_rcnn.MaskRcnn
  group_size: int

  @property
  def label_ranges(self):
    return {'classes': (self.model.box_head.num_classes, None)}

  def init(self, rng, batch):
    return self.model.init(rng, batch['image'], batch['image_size'])

  def loss(self, variables, batch, rng):
    target_rng, drop_path_rng = jax.random.split(rng)
    parts = mesh.axes().get(mesh.INPUTS, 1)
    if parts > 1:  # Gradients there were not shown to be right.
      raise ValueError(
        f'config.mesh.inputs: found {parts}; expected 1, since detectors split '
        'batches alone.'
      )
    terms, model_state = self.model.apply(
      variables,
      batch,
      target_rng,
      train=True,
      rngs={'drop_path': drop_path_rng},
      mutable=[name for name in variables if name != 'params'],
      method=_terms,
    )
    if len(batch['mask']) % self.group_size:
      raise ValueError(
        f'config.task.group_size: {self.group_size} images make no whole '
        f'groups of a batch, or micro-batch, of {len(batch["mask"])}.'
      )
    scalars = {
      name: x.mean(batch['mask'], self.group_size) for name, x in terms.items()
    }
    return sum(scalars[name] for name in LOSSES), LossAux(
      model_state=model_state,
      scalars=scalars,
      weight=jnp.sum(batch['mask']),
    )

  def metrics(self, variables, batch):
    """Losses over all images, and the accuracy of sampled boxes' classes.

    What they are computed on is drawn the same each time.
    """
    terms = self.model.apply(
      variables, batch, jax.random.key(0), train=False, method=_terms
    )
    mask = batch['mask'] > 0
    return {
      name: metrics.Mean(
        *(jnp.sum(jnp.where(mask, y, 0)) for y in (x.total, x.count))
      )
      for name, x in terms.items()
    }

  def predict(self, variables, batch):
    """The detections of each image, by falling scores.

    `boxes` [B, D, 4] in pixels of the canvas, inside of the image; `scores`
    [B, D]; `classes` [B, D]; `masks` [B, D, 28, 28], probabilities on a grid
    over the box, for `perceiver_paca.ops.masks.paste`; `valid` [B, D], which
    of them there are. Divide boxes by what the image was enlarged by before.
    """
    detections = self.model.apply(
      variables, batch['image'], batch['image_size']
    )
    return detections._asdict()

  def cluster_maps(self, variables, batch):
    """What the clusters see: stage -> [B, M, h, w], sums of 1 over the map."""

    def maps(model, images):
      return model.backbone(images, train=False).cluster_maps()

    return self.model.apply(variables, batch['image'], method=maps)


def _terms(model, batch, rng, train):
  """Name -> `losses.Terms` of a batch."""
  objects = Objects(
    batch['boxes'],
    batch['classes'],
    batch['masks'],
    batch['box_mask'] & ~box_ops.is_empty(batch['boxes']),
  )
  regions = model.regions(batch['image'], batch['image_size'], train)
  return model.losses(regions, model.targets(regions, objects, rng))


def make_task(
  config: ml_collections.ConfigDict, model: ml_collections.ConfigDict
) -> Detection:
  """Reads group_size; model: see `make_detector`."""
  return Detection(
    model=mask_rcnn.make_detector(model), group_size=config.group_size
  )

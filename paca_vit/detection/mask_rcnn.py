"""Mask R-CNN (He et al. 2017, arXiv 1703.06870) on PaCa-ViT's backbone.

Step for step that of mmdetection 3.0.0, with static shapes: fixed slots and
which of them are taken. Boxes are float32 whatever the model computes in.

Shapes: B batch, H, W of the canvas (the padded image), h, w of a map, N
anchors, R proposals, D detections, M cells of a mask's side, K classes.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from paca_vit import backbone
from paca_vit.detection import heads, losses, targets
from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import nms, roi_align

STRIDES = (4, 8, 16, 32, 64)  # of the pyramid's maps; boxes are read from four


class Proposals(NamedTuple):
  """Where objects might be, by falling scores.

  Attributes:
    boxes: [B, R, 4] in pixels, inside of the image.
    scores: [B, R].
    valid: [B, R], which of them there are.
  """

  boxes: jax.Array
  scores: jax.Array
  valid: jax.Array


class Detections(NamedTuple):
  """What was found, by falling scores.

  Attributes:
    boxes: [B, D, 4] in pixels of the canvas, inside of the image.
    scores: [B, D].
    classes: [B, D] integers.
    masks: [B, D, M, M], probabilities on a grid over the box.
    valid: [B, D], which of them there are.
  """

  boxes: jax.Array
  scores: jax.Array
  classes: jax.Array
  masks: jax.Array
  valid: jax.Array


class Regions(NamedTuple):
  """What the backbone, the pyramid and the RPN head make of images.

  Attributes:
    maps: [B, h, w, .], of the pyramid.
    logits: [B, n] for each map, of its anchors.
    deltas: [B, n, 4] for each map.
    anchors: [n, 4] for each map.
  """

  maps: list[jax.Array]
  logits: list[jax.Array]
  deltas: list[jax.Array]
  anchors: list[jax.Array]


class Targets(NamedTuple):
  """What a step trains on; with a leading B."""

  anchors: targets.AnchorTargets
  rois: targets.RoiTargets


class MaskRcnn(nn.Module):
  """The whole detector.

  Attributes:
    backbone, pyramid, rpn_head, box_head, mask_head: its parts.
    anchor_scale: sides of the square anchor in strides of its map.
    candidates: of each map by objectness, before overlapping ones are dropped;
      in training and else.
    num_proposals: R.
    max_detections: D.
    min_score: a detection's is larger.
  """

  backbone: backbone.PacaBackbone
  pyramid: heads.Pyramid
  rpn_head: heads.RpnHead
  box_head: heads.BoxHead
  mask_head: heads.MaskHead
  anchor_scale: float = 8.0
  candidates: Sequence[int] = (2000, 1000)
  num_proposals: int = 1000
  max_detections: int = 100
  min_score: float = 0.05

  def __call__(self, images: jax.Array, image_sizes: jax.Array) -> Detections:
    """Finds objects.

    Args:
      images: [B, H, W, C], 0 beyond the image.
      image_sizes: [B, 2], height and width of the images.
    """
    regions = self.regions(images, train=False)
    return self.detect(regions, self.propose(regions, image_sizes), image_sizes)

  def regions(self, images: jax.Array, train: bool) -> Regions:
    """The part that sees whole images [B, H, W, C]."""
    maps = self.pyramid(self.backbone(images, train).maps)
    logits, deltas = self.rpn_head(maps)
    anchors = [
      box_ops.anchors(
        x.shape[1:3], stride, self.anchor_scale, dtype=logits[0].dtype
      ).reshape(-1, 4)
      for x, stride in zip(maps, STRIDES, strict=True)
    ]
    return Regions(maps, logits, deltas, anchors)

  def propose(
    self, regions: Regions, image_sizes: jax.Array, train: bool = False
  ) -> Proposals:
    """The best anchors, fitted; without gradients."""
    regions = lax.stop_gradient(regions)
    count = self.candidates[0 if train else 1]
    propose = functools.partial(
      _propose, num_candidates=count, num_proposals=self.num_proposals
    )
    return jax.vmap(propose, in_axes=(0, 0, None, 0))(
      regions.logits, regions.deltas, regions.anchors, image_sizes
    )

  def detect(
    self, regions: Regions, proposals: Proposals, image_sizes: jax.Array
  ) -> Detections:
    """What the heads see in the proposals."""
    logits, deltas = self.box_head(
      self._read(regions, proposals.boxes, 7, proposals.valid)
    )
    detect = functools.partial(
      _detect, min_score=self.min_score, max_detections=self.max_detections
    )
    boxes, scores, classes, valid = jax.vmap(detect)(
      proposals.boxes, proposals.valid, logits, deltas, image_sizes
    )
    masks = self.mask_head(self._read(regions, boxes, 14, valid))
    masks = nn.sigmoid(losses.own_masks(masks, classes))
    return Detections(boxes, scores, classes, masks, valid)

  def targets(
    self,
    regions: Regions,
    image_sizes: jax.Array,
    objects: targets.Objects,
    rng: jax.Array,
  ) -> Targets:
    """Draws what to train on.

    Args:
      regions: of the images.
      image_sizes: [B, 2].
      objects: with a leading B.
      rng: a key.
    """
    proposals = self.propose(regions, image_sizes, train=True)
    rngs = jax.random.split(rng, (2, len(image_sizes)))
    reachable = jax.vmap(
      lambda size: jnp.concatenate(
        [
          is_reachable(x.shape[1:3], size, stride, self.rpn_head.num_anchors)
          for x, stride in zip(regions.maps, STRIDES, strict=True)
        ]
      )
    )(image_sizes)
    anchors = jnp.concatenate(regions.anchors)
    return Targets(
      jax.vmap(targets.anchor_targets, in_axes=(0, None, 0, 0))(
        rngs[0], anchors, reachable, objects
      ),
      jax.vmap(
        functools.partial(
          targets.roi_targets, num_classes=self.box_head.num_classes
        )
      )(rngs[1], proposals.boxes, proposals.valid, objects),
    )

  def losses(
    self, regions: Regions, wanted: Targets
  ) -> dict[str, losses.Terms]:
    """The terms of the five losses, and of the accuracy of the classes."""
    rois = wanted.rois
    logits, deltas = self.box_head(
      self._read(regions, rois.boxes, 7, rois.valid)
    )
    some = slice(rois.masks.shape[1])
    masks = self.mask_head(
      self._read(
        regions,
        rois.boxes[:, some],
        14,
        rois.classes[:, some] < self.box_head.num_classes,
      )
    )
    return {
      **losses.rpn_terms(
        jnp.concatenate(regions.logits, axis=1),
        jnp.concatenate(regions.deltas, axis=1),
        wanted.anchors,
      ),
      **losses.box_terms(logits, deltas, rois),
      **losses.mask_terms(masks, rois),
    }

  def _read(self, regions, boxes, num_cells, valid):
    return roi_align.roi_align(
      regions.maps[:4], boxes, num_cells, STRIDES[:4], valid=valid
    )


def is_reachable(map_size, image_size, stride, num_anchors) -> jax.Array:
  """[h w A]: the anchors whose positions the image's own canvas has.

  That is the image with its sides rounded up to multiples of 32.
  """
  own = -(-image_size // 32) * 32
  own = -(-own // stride)
  inside = [jnp.arange(n) < own[axis] for axis, n in enumerate(map_size)]
  return jnp.repeat((inside[0][:, None] & inside[1]).ravel(), num_anchors)


def _propose(
  logits, deltas, anchors, image_size, *, num_candidates, num_proposals
):
  """`MaskRcnn.propose` for one image."""
  boxes, scores, levels = [], [], []
  for level, (x, d, a) in enumerate(zip(logits, deltas, anchors, strict=True)):
    # Of the scores, not of the logits: rounding makes ties.
    top, index = lax.top_k(nn.sigmoid(x), min(num_candidates, len(x)))
    boxes.append(box_ops.decode(a[index], d[index]))
    scores.append(top)
    levels.append(jnp.full(len(top), level, jnp.int32))
  boxes = box_ops.clip(jnp.concatenate(boxes), image_size)
  scores = jnp.concatenate(scores)
  kept, valid = nms.nms(
    boxes,
    scores,
    0.7,
    max_kept=num_proposals,
    valid=~box_ops.is_empty(boxes),
    groups=jnp.concatenate(levels),
  )
  return Proposals(boxes[kept], scores[kept], valid)


def _detect(
  proposals, valid, logits, deltas, image_size, *, min_score, max_detections
):
  """Boxes [D, 4], scores, classes and which there are, of one image."""
  num_classes = deltas.shape[1]
  scores = nn.softmax(logits)[:, :-1]
  valid = (scores > min_score) & valid[:, None]
  boxes = box_ops.decode(proposals[:, None], deltas, targets.STDS)
  boxes = box_ops.clip(boxes, image_size).reshape(-1, 4)
  scores = scores.ravel()
  classes = jnp.tile(jnp.arange(num_classes), len(proposals))
  kept, is_kept = nms.nms(
    boxes,
    scores,
    0.5,
    max_kept=max_detections,
    valid=valid.ravel(),
    groups=classes,
  )
  return boxes[kept], scores[kept], classes[kept], is_kept


def make_detector(config: Mapping[str, Any]) -> MaskRcnn:
  """Builds the detector of a model section.

  Args:
    config: that of `backbone.make_backbone`; num_classes, K; pyramid_channels,
      of pyramid, RPN and mask head; box_channels, of the box head; detector,
      fields of `MaskRcnn`.
  """
  dtype = jnp.dtype(config['dtype'])
  channels = config['pyramid_channels']
  options: dict[str, Any] = dict(config['detector'])
  return MaskRcnn(
    backbone.make_backbone(config),
    heads.Pyramid(channels, dtype),
    heads.RpnHead(channels, dtype=dtype),
    heads.BoxHead(config['num_classes'], config['box_channels'], dtype),
    heads.MaskHead(config['num_classes'], channels, dtype=dtype),
    **options,
  )

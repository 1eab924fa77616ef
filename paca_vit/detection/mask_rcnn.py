"""Mask R-CNN (He et al. 2017, arXiv 1703.06870) on PaCa-ViT's backbone.

Step for step that of mmdetection 3.0.0, with static shapes: fixed slots and
which of them are taken. Boxes are float32 whatever the model computes in.

Shapes: B batch, H, W of the canvas (the padded image), h, w of a map, N
anchors, R proposals, D detections, M cells of a mask's side, K classes.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from paca_vit import backbone, padding
from paca_vit.detection import heads, losses, targets
from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import mesh, roi_align

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
    image_sizes: [B, 2], height and width of the images.
  """

  maps: list[jax.Array]
  logits: list[jax.Array]
  deltas: list[jax.Array]
  image_sizes: jax.Array


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
    num_rois: of an image's boxes that the heads train on, a quarter of them on
      objects at most.
    max_detections: D.
    min_score: a detection's is larger.
    own_canvas: compute everything of an image as on a canvas of its own, its
      size rounded up to multiples of 32, so that results do not depend on what
      it shares a batch with. False: as published, what is beyond is seen, by
      the clusters above all, and the same only if the canvas is the own one.
  """

  backbone: backbone.PacaBackbone
  pyramid: heads.Pyramid
  rpn_head: heads.RpnHead
  box_head: heads.BoxHead
  mask_head: heads.MaskHead
  anchor_scale: float = 8.0
  candidates: Sequence[int] = (2000, 1000)
  num_proposals: int = 1000
  num_rois: int = 512
  max_detections: int = 100
  min_score: float = 0.05
  own_canvas: bool = False

  def __call__(self, images: jax.Array, image_sizes: jax.Array) -> Detections:
    """Finds objects.

    Args:
      images: [B, H, W, C], 0 beyond the image.
      image_sizes: [B, 2], height and width of the images.
    """
    regions = self.regions(images, image_sizes, train=False)
    return self.detect(regions, self.propose(regions))

  def regions(
    self, images: jax.Array, image_sizes: jax.Array, train: bool
  ) -> Regions:
    """The part that sees whole images; arguments as `__call__`'s."""
    ignored = contextlib.nullcontext()
    if self.own_canvas:
      ignored = padding.ignored(images.shape[1:3], image_sizes)
    with ignored:
      maps = self.pyramid(self.backbone(images, train).maps)
      logits, deltas = self.rpn_head(maps)
    return Regions(maps, logits, deltas, image_sizes)

  def propose(self, regions: Regions, train: bool = False) -> Proposals:
    """The best anchors, fitted; without gradients."""

    def propose(logits, deltas, image_size):
      reachable = None
      if self.own_canvas:
        reachable = self._reachable(map_sizes, image_size)
      boxes, scores, valid = heads.propose(
        logits,
        deltas,
        self._anchors(map_sizes, deltas[0].dtype),
        reachable,
        image_size,
        num_candidates=self.candidates[0 if train else 1],
        num_proposals=self.num_proposals,
      )
      return Proposals(boxes, scores, valid)

    map_sizes = [x.shape[1:3] for x in regions.maps]
    return mesh.over_examples(
      jax.vmap(propose),
      *lax.stop_gradient((regions.logits, regions.deltas)),
      regions.image_sizes,
    )

  def detect(self, regions: Regions, proposals: Proposals) -> Detections:
    """What the heads see in the proposals."""
    logits, deltas = self.box_head(
      self._read(regions, proposals.boxes, 7, proposals.valid)
    )
    detect = functools.partial(
      heads.detect, min_score=self.min_score, max_detections=self.max_detections
    )
    boxes, scores, classes, valid = mesh.over_examples(
      jax.vmap(detect),
      proposals.boxes,
      proposals.valid,
      logits,
      deltas,
      regions.image_sizes,
    )
    masks = self.mask_head(self._read(regions, boxes, 14, valid))
    masks = nn.sigmoid(losses.own_masks(masks, classes))
    return Detections(boxes, scores, classes, masks, valid)

  def targets(
    self, regions: Regions, objects: targets.Objects, rng: jax.Array
  ) -> Targets:
    """Draws what to train on.

    Args:
      regions: of the images.
      objects: with a leading B.
      rng: a key.
    """

    def draw(rng, proposals, objects, image_size):
      anchor_rng, roi_rng = jax.random.split(rng)
      anchors = self._anchors(map_sizes, proposals.boxes.dtype)
      reachable = self._reachable(map_sizes, image_size)
      return Targets(
        targets.anchor_targets(
          anchor_rng,
          jnp.concatenate(anchors),
          jnp.concatenate(reachable),
          objects,
        ),
        targets.roi_targets(
          roi_rng,
          proposals.boxes,
          proposals.valid,
          objects,
          self.box_head.num_classes,
          self.num_rois,
        ),
      )

    map_sizes = [x.shape[1:3] for x in regions.maps]
    return mesh.over_examples(
      jax.vmap(draw),
      jax.random.split(rng, len(regions.image_sizes)),
      self.propose(regions, train=True),
      objects,
      regions.image_sizes,
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
    sizes = None
    if self.own_canvas:
      sizes = padding.own_canvas(regions.image_sizes)
    return roi_align.roi_align(
      regions.maps[:4],
      boxes,
      num_cells,
      STRIDES[:4],
      valid=valid,
      image_sizes=sizes,
    )

  def _anchors(self, map_sizes, dtype):
    """[n, 4] for each map."""
    return [
      box_ops.anchors(size, stride, self.anchor_scale, dtype=dtype).reshape(
        -1, 4
      )
      for size, stride in zip(map_sizes, STRIDES, strict=True)
    ]

  def _reachable(self, map_sizes, image_size):
    """[n] for each map: anchors whose positions an image's own canvas has."""
    return [
      jnp.repeat(
        padding.own_positions(size, image_size[None], stride).ravel(),
        self.rpn_head.num_anchors,
      )
      for size, stride in zip(map_sizes, STRIDES, strict=True)
    ]


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

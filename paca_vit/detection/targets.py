"""What anchors and proposals are to become: matching, sampling, targets.

Everything here is of one example; nothing has a gradient.

Letters: N boxes, G objects, S slots of a sample, P of these for positives,
M cells of a mask's side, K classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from paca_vit.detection import heads
from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import masks as mask_ops


class Objects(NamedTuple):
  """What there is in an image.

  Attributes:
    boxes: [G, 4] in pixels of the canvas.
    classes: [G] integers.
    masks: [G, H, W / 8], bits of the canvas, 8 pixels of a row a byte.
    valid: [G], which there are.
  """

  boxes: jax.Array
  classes: jax.Array
  masks: jax.Array
  valid: jax.Array


class Sample(NamedTuple):
  """Some of N boxes, positives first.

  Attributes:
    index: [S], of the box.
    is_positive: [S].
    valid: [S], which slots are taken.
  """

  index: jax.Array
  is_positive: jax.Array
  valid: jax.Array


class AnchorTargets(NamedTuple):
  """Attributes:
  sample: of all anchors.
  deltas: [S, 4] from the anchors to their objects; for positives.
  """

  sample: Sample
  deltas: jax.Array


class RoiTargets(NamedTuple):
  """Attributes:
  boxes: [S, 4] for the heads to look at; positives are among the first P.
  valid: [S], which slots are taken.
  classes: [S], K for background.
  deltas: [S, 4] to their objects, over `heads.STDS`; for positives.
  masks: [P, M, M], whether a cell is the object's; for positives.
  """

  boxes: jax.Array
  valid: jax.Array
  classes: jax.Array
  deltas: jax.Array
  masks: jax.Array


def match(
  boxes: jax.Array,
  valid: jax.Array,
  objects: jax.Array,
  is_object: jax.Array,
  *,
  negative: float,
  positive: float,
  best: float,
) -> jax.Array:
  """Gives each box an object, as mmdetection's MaxIoUAssigner does.

  A box has the object that it overlaps most, if that is enough. Then the boxes
  that an object overlaps most get that object, if that is enough; the last
  object wins. Overlaps are intersections over unions in float32.

  Args:
    boxes: [N, 4].
    valid: [N], which boxes there are.
    objects: [G, 4].
    is_object: [G], which objects there are.
    negative: a box that overlaps every object less has none.
    positive: what is enough for a box.
    best: what is enough for an object.

  Returns:
    [N]: the object's index; -1 for none, -2 for boxes between the limits and
    those that are not valid.
  """
  boxes, objects = boxes.astype(jnp.float32), objects.astype(jnp.float32)

  def add(carry, item):
    most, index, chosen = carry
    i, object_, exists = item
    # One array for all that compares it: were it computed twice, a last bit
    # might differ.
    overlaps = lax.optimization_barrier(
      jnp.where(valid & exists, box_ops.iou(boxes, object_, 1e-6), -1)
    )
    top = jnp.max(overlaps)
    index = jnp.where(overlaps > most, i, index)
    chosen = jnp.where((overlaps == top) & (top >= best), i, chosen)
    return (jnp.maximum(most, overlaps), index, chosen), None

  none = jnp.full(len(boxes), -1, jnp.int32)
  (most, index, chosen), _ = lax.scan(
    add,
    (jnp.zeros(len(boxes), jnp.float32), none, none),
    (jnp.arange(len(objects), dtype=jnp.int32), objects, is_object),
  )
  matched = jnp.where(most < negative, -1, -2)
  matched = jnp.where(most >= positive, index, matched)
  matched = jnp.where(chosen >= 0, chosen, matched)
  return jnp.where(valid, matched, -2)


def sample(
  rng: jax.Array, matched: jax.Array, num_slots: int, num_positives: int
) -> Sample:
  """Draws positives and fills up with negatives, each as likely as another.

  Args:
    rng: a key.
    matched: [N], see `match`.
    num_slots: S.
    num_positives: the most of them, P.
  """
  draw = jax.random.uniform(rng, matched.shape)

  def draw_from(mask, count):
    count = min(count, len(mask))
    _, index = lax.top_k(jnp.where(mask, draw, -1), count)
    return index, jnp.minimum(jnp.sum(mask), count)

  positives, positive_count = draw_from(matched >= 0, num_positives)
  negatives, negative_count = draw_from(matched == -1, num_slots)
  slot = jnp.arange(num_slots)
  is_positive = slot < positive_count
  index = jnp.where(
    is_positive,
    positives[jnp.minimum(slot, len(positives) - 1)],
    negatives[jnp.clip(slot - positive_count, 0, len(negatives) - 1)],
  )
  return Sample(index, is_positive, slot < positive_count + negative_count)


def anchor_targets(
  rng: jax.Array,
  anchors: jax.Array,
  valid: jax.Array,
  objects: Objects,
  num_slots: int = 256,
) -> AnchorTargets:
  """Targets of the region proposals, half of them positives at most.

  Args:
    rng: a key.
    anchors: [N, 4].
    valid: [N], which of them may be drawn.
    objects: of the image.
    num_slots: S.
  """
  matched = match(
    anchors,
    valid,
    objects.boxes,
    objects.valid,
    negative=0.3,
    positive=0.7,
    best=0.3,
  )
  drawn = sample(rng, matched, num_slots, num_slots // 2)
  deltas = _deltas(anchors[drawn.index], matched[drawn.index], objects, drawn)
  return AnchorTargets(drawn, deltas)


def roi_targets(
  rng: jax.Array,
  proposals: jax.Array,
  valid: jax.Array,
  objects: Objects,
  num_classes: int,
  num_slots: int = 512,
  num_cells: int = 28,
) -> RoiTargets:
  """Targets of the heads, a quarter of them positives at most.

  The objects' own boxes are among the proposals.

  Args:
    rng: a key.
    proposals: [N, 4].
    valid: [N], which of them there are.
    objects: of the image.
    num_classes: K.
    num_slots: S.
    num_cells: M.
  """
  matched = match(
    proposals,
    valid,
    objects.boxes,
    objects.valid,
    negative=0.5,
    positive=0.5,
    best=0.5,
  )
  own = jnp.where(objects.valid, jnp.arange(len(objects.valid)), -2)
  matched = jnp.concatenate([own, matched])
  boxes = jnp.concatenate([objects.boxes.astype(proposals.dtype), proposals])
  drawn = sample(rng, matched, num_slots, num_slots // 4)
  return describe(
    boxes[drawn.index],
    matched[drawn.index],
    drawn,
    objects,
    num_classes,
    num_slots // 4,
    num_cells,
  )


def describe(
  boxes: jax.Array,
  index: jax.Array,
  drawn: Sample,
  objects: Objects,
  num_classes: int,
  num_positives: int,
  num_cells: int = 28,
) -> RoiTargets:
  """Targets of a sample.

  Args:
    boxes: [S, 4], drawn.
    index: [S], the object of each positive.
    drawn: the sample; its `index` is not read.
    objects: of the image.
    num_classes: K.
    num_positives: P.
    num_cells: M.
  """
  some = slice(num_positives)
  values = mask_ops.mask_targets(
    objects.masks,
    boxes[some],
    jnp.maximum(index[some], 0),
    drawn.is_positive[some],
    num_cells,
  )
  return RoiTargets(
    boxes=boxes,
    valid=drawn.valid,
    classes=jnp.where(drawn.is_positive, objects.classes[index], num_classes),
    deltas=_deltas(boxes, index, objects, drawn, heads.STDS),
    masks=values >= 0.5,
  )


def _deltas(boxes, index, objects, drawn, stds=(1, 1, 1, 1)):
  deltas = box_ops.encode(boxes, objects.boxes[index], stds)
  return jnp.where(drawn.is_positive[:, None], deltas, 0)

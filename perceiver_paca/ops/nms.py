"""Greedy non-maximum suppression with static shapes.

Letters: N boxes, K the most that are kept, S boxes of a slice.
"""

import jax
import jax.numpy as jnp
from jax import lax

from perceiver_paca.ops import boxes as box_ops


def nms(
  boxes: jax.Array,
  scores: jax.Array,
  threshold: float,
  *,
  max_kept: int,
  valid: jax.Array | None = None,
  groups: jax.Array | None = None,
  slice_size: int = 512,
) -> tuple[jax.Array, jax.Array]:
  """Keeps the best box, drops what overlaps it more, and so on.

  Exactly what the greedy loop over single boxes keeps, since what a box does to
  those before it is nothing. Slices of boxes are taken in the order of their
  scores: what a kept box of an earlier slice overlaps is dropped; of the rest
  `keep_j = no i < j is kept and overlaps j` is repeated until nothing changes,
  which is after as many rounds as boxes drop each other in a chain. It ends
  with the `max_kept`-th box, and needs memory for S (S + K) overlaps.

  Args:
    boxes: [N, 4].
    scores: [N], finite; of equal ones the first goes first.
    threshold: an intersection over union that is larger drops.
    max_kept: K.
    valid: [N], which of the boxes there are; None: all.
    groups: [N] integers; boxes of different groups leave each other alone.
    slice_size: S.

  Returns:
    Indices [K] of the kept boxes by falling scores, and which of these there
    are [K]; the other indices are 0.
  """
  boxes, scores = jnp.asarray(boxes), jnp.asarray(scores)
  num_boxes = len(boxes)
  size = min(slice_size, num_boxes)
  padding = -num_boxes % size
  if valid is None:
    valid = jnp.ones(num_boxes, bool)
  if groups is None:
    groups = jnp.zeros(num_boxes, jnp.int32)
  order = jnp.argsort(jnp.where(valid, -scores, jnp.inf), stable=True)
  num_valid = jnp.sum(valid)
  boxes = jnp.pad(boxes[order], ((0, padding), (0, 0)))
  groups = jnp.pad(jnp.asarray(groups)[order], (0, padding))
  earlier = jnp.arange(size)[:, None] < jnp.arange(size)

  def overlap(a, a_groups, b, b_groups):
    """[len(a), len(b)]: whether of two boxes only one may stay."""
    same = a_groups[:, None] == b_groups
    return same & (box_ops.iou(a[:, None], b) > threshold)

  def is_unfinished(state):
    start, count, *_ = state
    return (start < num_valid) & (count < max_kept)

  def take_slice(state):
    start, count, kept, kept_boxes, kept_groups = state
    new = lax.dynamic_slice_in_dim(boxes, start, size)
    new_groups = lax.dynamic_slice_in_dim(groups, start, size)
    dropped = overlap(kept_boxes, kept_groups, new, new_groups)
    dropped &= (jnp.arange(max_kept) < count)[:, None]
    ranks = start + jnp.arange(size, dtype=jnp.int32)
    alive = ~jnp.any(dropped, axis=0) & (ranks < num_valid)
    keep = _fixed_point(
      alive, earlier & overlap(new, new_groups, new, new_groups)
    )
    # Those beyond the last slot, and the dropped, are not written.
    slots = jnp.where(keep, count + jnp.cumsum(keep) - 1, max_kept)
    return (
      start + size,
      jnp.minimum(count + jnp.sum(keep), max_kept),
      kept.at[slots].set(ranks, mode='drop'),
      kept_boxes.at[slots].set(new, mode='drop'),
      kept_groups.at[slots].set(new_groups, mode='drop'),
    )

  _, count, kept, _, _ = lax.while_loop(
    is_unfinished,
    take_slice,
    (
      0,
      0,
      jnp.zeros(max_kept, jnp.int32),
      jnp.zeros((max_kept, 4), boxes.dtype),
      jnp.zeros(max_kept, groups.dtype),
    ),
  )
  is_kept = jnp.arange(max_kept) < count
  return jnp.where(is_kept, order[kept], 0), is_kept


def _fixed_point(alive, drops):
  """Which of alive [S] stay where i, if it stays, drops j: drops [S, S]."""

  def update(state):
    keep, _ = state
    new = alive & ~jnp.any(keep[:, None] & drops, axis=0)
    return new, jnp.any(new != keep)

  return lax.while_loop(lambda state: state[1], update, (alive, True))[0]

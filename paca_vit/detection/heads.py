"""The parts of a Mask R-CNN behind its backbone, and what is taken of them.

Sizes, activations and initialisation as in mmdetection 3.0.0.

Shapes: B batch, h, w of a map, A anchors at a position, R boxes, C channels,
K classes, D of the pyramid.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from paca_vit import layers
from perceiver_paca.ops import boxes as box_ops
from perceiver_paca.ops import nms

# Of the box head's deltas.
STDS = (0.1, 0.1, 0.2, 0.2)

_xavier = nn.initializers.xavier_uniform()
_conv3x3 = functools.partial(layers.Conv, kernel_size=(3, 3))


class Pyramid(nn.Module):
  """A feature pyramid (Lin et al. 2017, arXiv 1612.03144), one map more.

  Attributes:
    channels: D.
  """

  channels: int = 256
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
    """Maps [B, h, w, .] to [B, h, w, D], from fine to coarse.

    A map has half the rows and columns of the one before, rounded up. The last
    of the returned has every second row and column of the one before it.
    """
    sums = [
      layers.Conv1x1(
        self.channels,
        kernel_init=_xavier,
        dtype=self.dtype,
        name=f'lateral_{i}',
      )(x)
      for i, x in enumerate(maps)
    ]
    for i in reversed(range(1, len(sums))):
      _, height, width, _ = sums[i - 1].shape
      nearest = sums[i].repeat(2, axis=1).repeat(2, axis=2)
      sums[i - 1] += nearest[:, :height, :width]
    outputs = [
      _conv3x3(
        self.channels, kernel_init=_xavier, dtype=self.dtype, name=f'output_{i}'
      )(x)
      for i, x in enumerate(sums)
    ]
    return [*outputs, outputs[-1][:, ::2, ::2]]


class RpnHead(nn.Module):
  """Says of every anchor whether it has an object, and how to fit it.

  Ren et al. 2015, arXiv 1506.01497, section 3.1; the same for all maps.

  Attributes:
    channels: of the hidden layer.
    num_anchors: A.
  """

  channels: int = 256
  num_anchors: int = 3
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self, maps: Sequence[jax.Array]
  ) -> tuple[list[jax.Array], list[jax.Array]]:
    """Maps [B, h, w, D] to logits [B, h w A] and deltas [B, h w A, 4].

    For each map; float32 or wider; anchors by row, column and shape.
    """
    init = nn.initializers.normal(0.01)
    hidden = _conv3x3(
      self.channels, kernel_init=init, dtype=self.dtype, name='hidden'
    )
    objectness = layers.Conv1x1(
      self.num_anchors, kernel_init=init, dtype=self.dtype, name='objectness'
    )
    deltas = layers.Conv1x1(
      4 * self.num_anchors, kernel_init=init, dtype=self.dtype, name='deltas'
    )
    maps = [nn.relu(hidden(x)) for x in maps]
    return (
      [_wide(objectness(x)).reshape(x.shape[0], -1) for x in maps],
      [_wide(deltas(x)).reshape(x.shape[0], -1, 4) for x in maps],
    )


class BoxHead(nn.Module):
  """The class of a box, and for each class how to fit the box.

  Attributes:
    num_classes: K.
    channels: of the two hidden layers.
  """

  num_classes: int
  channels: int = 1024
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, grids: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Maps [B, R, 7, 7, D] to logits [B, R, K + 1] and deltas [B, R, K, 4].

    Float32 or wider; the last logit is that of the background.
    """
    x = nn.DenseGeneral(
      self.channels,
      axis=(-3, -2, -1),
      kernel_init=_xavier,
      dtype=self.dtype,
      name='fc1',
    )(grids)
    x = nn.Dense(
      self.channels, kernel_init=_xavier, dtype=self.dtype, name='fc2'
    )(nn.relu(x))
    x = nn.relu(x)
    logits = nn.Dense(
      self.num_classes + 1,
      kernel_init=nn.initializers.normal(0.01),
      dtype=self.dtype,
      name='logits',
    )(x)
    deltas = nn.Dense(
      4 * self.num_classes,
      kernel_init=nn.initializers.normal(0.001),
      dtype=self.dtype,
      name='deltas',
    )(x)
    return _wide(logits), _wide(deltas).reshape(*deltas.shape[:-1], -1, 4)


class Upsample(nn.Module):
  """Every position becomes 2 x 2: a transposed convolution without overlap."""

  channels: int
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, h, w, C] to [N, 2 h, 2 w, channels]."""
    kernel = self.param(
      'kernel',
      nn.initializers.variance_scaling(2.0, 'fan_out', 'normal'),
      (2, 2, self.channels, x.shape[-1]),
    )
    bias = self.param('bias', nn.initializers.zeros, (self.channels,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    n, height, width, _ = x.shape
    x = jnp.einsum('NhwC,abDC->NhawbD', x, kernel)
    return x.reshape(n, 2 * height, 2 * width, -1) + bias


class MaskHead(nn.Module):
  """For each class the mask of a box's object.

  He et al. 2017, arXiv 1703.06870, figure 4, right.

  Attributes:
    num_classes: K.
    channels: of the hidden layers.
    num_convs: of size 3x3.
  """

  num_classes: int
  channels: int = 256
  num_convs: int = 4
  dtype: jax.typing.DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, grids: jax.Array) -> jax.Array:
    """Maps [B, R, 14, 14, D] to logits [B, R, 28, 28, K], float32 or wider."""
    x = grids.reshape(-1, *grids.shape[2:])
    for i in range(self.num_convs):
      x = nn.relu(
        _conv3x3(self.channels, dtype=self.dtype, name=f'conv_{i}')(x)
      )
    x = nn.relu(Upsample(self.channels, self.dtype, name='upsample')(x))
    x = layers.Conv1x1(self.num_classes, dtype=self.dtype, name='logits')(x)
    return _wide(x).reshape(*grids.shape[:2], *x.shape[1:])


def _wide(x):
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def propose(
  logits: Sequence[jax.Array],
  deltas: Sequence[jax.Array],
  anchors: Sequence[jax.Array],
  reachable: Sequence[jax.Array] | None,
  image_size: jax.Array,
  *,
  num_candidates: int,
  num_proposals: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The best anchors of an image, fitted, without those that overlap others.

  Args:
    logits: [n] for each map.
    deltas: [n, 4] for each map.
    anchors: [n, 4] for each map.
    reachable: [n] for each map, the anchors that count; None: all.
    image_size: [2].
    num_candidates: of each map, before overlapping ones of a map are dropped.
    num_proposals: R.

  Returns:
    Boxes [R, 4] inside of the image, scores [R] and which there are [R], by
    falling scores.
  """
  boxes, scores, levels = [], [], []
  for level, x in enumerate(logits):
    # Of the scores, not of the logits: rounding makes ties.
    x = nn.sigmoid(x)
    if reachable is not None:
      x = jnp.where(reachable[level], x, -1)
    top, index = lax.top_k(x, min(num_candidates, len(x)))
    boxes.append(box_ops.decode(anchors[level][index], deltas[level][index]))
    scores.append(top)
    levels.append(jnp.full(len(top), level, jnp.int32))
  boxes = box_ops.clip(jnp.concatenate(boxes), image_size)
  scores = jnp.concatenate(scores)
  kept, is_kept = nms.nms(
    boxes,
    scores,
    0.7,
    max_kept=num_proposals,
    valid=~box_ops.is_empty(boxes) & (scores >= 0),
    groups=jnp.concatenate(levels),
  )
  return boxes[kept], scores[kept], is_kept


def detect(
  proposals: jax.Array,
  valid: jax.Array,
  logits: jax.Array,
  deltas: jax.Array,
  image_size: jax.Array,
  *,
  min_score: float,
  max_detections: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """The best boxes of an image, without those that overlap others of a class.

  Args:
    proposals: [R, 4].
    valid: [R], which of them there are.
    logits: [R, K + 1].
    deltas: [R, K, 4].
    image_size: [2].
    min_score: a detection's is larger.
    max_detections: D.

  Returns:
    Boxes [D, 4] inside of the image, scores [D], classes [D] and which there
    are [D], by falling scores.
  """
  num_classes = deltas.shape[1]
  scores = nn.softmax(logits)[:, :-1]
  valid = (scores > min_score) & valid[:, None]
  boxes = box_ops.decode(proposals[:, None], deltas, STDS)
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

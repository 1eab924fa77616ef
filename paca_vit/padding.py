"""Images that are smaller than the canvas they lie on.

Convolutions, the softmax that assigns patches to clusters and attention over
all patches see what is beside an image, so its features depend on the canvas.
Within `ignored` they do not: each image's features are those that it has on its
own canvas, which is the image with its sides rounded up to multiples of 32.

Shapes: B batch, H, W of the canvas, h, w of a map, C channels.
"""

import contextlib
import math
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp

from paca_vit import attention, clustering, layers

MULTIPLE = 32  # the coarsest map's stride
# What reads neighbours of a position, and zeros beyond a map's edge.
_NEIGHBOURS = nn.Conv, layers.DepthwiseConv, clustering.Blur
_CLUSTERINGS = (
  clustering.ConvClustering,
  clustering.MlpClustering,
  clustering.LinearClustering,
  clustering.CentroidClustering,
)


def own_canvas(image_sizes: jax.Array) -> jax.Array:
  """Sides [..., 2] of images rounded up to multiples of 32."""
  return -(-image_sizes // MULTIPLE) * MULTIPLE


def own_positions(
  map_size: tuple[int, int], image_sizes: jax.Array, stride: int
) -> jax.Array:
  """[B, h, w]: the positions of a map that the images' own canvases have."""
  limits = -(-own_canvas(image_sizes) // stride)
  rows, columns = (
    jnp.arange(n) < limits[:, axis, None] for axis, n in enumerate(map_size)
  )
  return rows[:, :, None] & columns[:, None]


@contextlib.contextmanager
def ignored(canvas: tuple[int, int], image_sizes: jax.Array) -> Iterator[None]:
  """Modules called within ignore what is beyond an image's own canvas.

  What their outputs have there means nothing. BatchNorm's statistics, in
  training, are still those of the whole canvas.

  Args:
    canvas: (H, W), multiples of 32.
    image_sizes: [B, 2], heights and widths, at most the canvas's.

  Raises:
    ValueError: for another canvas.
  """
  if any(n % MULTIPLE for n in canvas):
    raise ValueError(
      f'canvas: expected multiples of {MULTIPLE} as sides, found {canvas}.'
    )

  def own(num_positions):
    """[B, h, w] of the map that has so many positions."""
    sizes = (
      (stride, tuple(-(-n // stride) for n in canvas))
      for stride in (2**i for i in range(max(canvas).bit_length() + 1))
    )
    stride, size = next(x for x in sizes if math.prod(x[1]) == num_positions)
    return own_positions(size, image_sizes, stride)

  def own_pixels(x):
    """[B, h, w, 1] of a map [B, h, w, C]."""
    return own(x.shape[1] * x.shape[2])[..., None]

  def intercept(next_method, args, kwargs, context):
    module = context.module
    if context.method_name != '__call__':
      return next_method(*args, **kwargs)
    x, *rest = args
    if isinstance(module, _NEIGHBOURS):
      x = jnp.where(own_pixels(x), x, 0)
    elif isinstance(module, clustering.Resize):
      x = _edges_continued(x, own_pixels(x)[..., 0])
    elif isinstance(module, attention.PatchToClusterAttention):
      (assignment,) = rest
      if assignment is None:
        mask = own(x.shape[1]).reshape(x.shape[0], -1)
        kwargs = {**kwargs, 'cluster_mask': mask}
    out = next_method(x, *rest, **kwargs)
    if isinstance(module, _CLUSTERINGS) or (
      isinstance(module, nn.Dense)
      and isinstance(module.parent, clustering.ClusteringTeacher)
    ):
      out = jnp.where(own_pixels(out), out, -jnp.inf)
    return out

  with nn.intercept_methods(intercept):
    yield


def _edges_continued(x, own):
  """x [B, h, w, C] with the last of the own [B, h, w] rows and columns next."""
  for axis in (1, 2):
    count = jnp.sum(jnp.any(own, axis=3 - axis), axis=1)
    index = jnp.minimum(jnp.arange(x.shape[axis]), count[:, None] - 1)
    index = jnp.expand_dims(index, [i for i in range(1, 4) if i != axis])
    x = jnp.take_along_axis(x, index, axis=axis)
  return x

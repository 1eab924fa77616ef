"""A linear map of the last axis as one product of two matrices.

Of x [B, H, W, C] the kernel's gradient is a sum over three axes, for which XLA
on a CPU first turns the larger array round. Of rows [B H W, C] it does not.
"""

import jax
from jax import lax

from perceiver_paca.ops import mesh


def dot_general(
  x: jax.Array,
  kernel: jax.Array,
  dimension_numbers: lax.DotDimensionNumbers | None = None,
  precision: jax.lax.PrecisionLike = None,
  preferred_element_type: jax.typing.DTypeLike | None = None,
) -> jax.Array:
  """x [..., C] times kernel [C, D], `dot_general` of Flax's `nn.Dense`.

  Under a mesh axes stay as they are: more than one of them may be split.

  Args:
    x, kernel: see above.
    dimension_numbers: those of this product, which is what None means, too.
    precision, preferred_element_type: as `lax.dot_general`'s.

  Returns:
    [..., D].

  Raises:
    ValueError: for another product.
  """
  last = x.ndim - 1
  this = (((last,), (0,)), ((), ()))
  if dimension_numbers not in (None, this) or kernel.ndim != 2:
    raise ValueError(
      f'dimension_numbers: found {dimension_numbers} for a kernel of '
      f'{kernel.shape}, expected {this} for one of two axes.'
    )
  options = precision, preferred_element_type
  if last < 2 or mesh.is_split():
    return lax.dot_general(x, kernel, this, *options)
  rows = x.reshape(-1, x.shape[-1])
  product = lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), *options)
  return product.reshape(*x.shape[:-1], -1)

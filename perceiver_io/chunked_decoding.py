"""All outputs of a multimodal model in bounded memory.

Outputs do not depend on each other: queries see the latents, not one another.
So they can be decoded in any groups, from latents that are computed once.

Letters: B batch, M inputs, N latents, D and C channels.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from perceiver_io.multimodal import Arrays, MultimodalPerceiver
from perceiver_paca.ops import mesh


def choose_num_chunks(
  num_points: Mapping[str, int],
  *,
  query_channels: int,
  num_logits: int,
  batch_size: int,
  memory_mib: float,
) -> int:
  """The fewest chunks whose temporary arrays fit.

  Args:
    num_points: outputs of each modality that is decoded in chunks.
    query_channels: of the padded queries.
    num_logits: of a query: heads of the decoder times N.
    batch_size: B.
    memory_mib: for the temporaries of a chunk, float32, of the whole batch;
      what the encoder takes and what is returned come on top.

  Raises:
    ValueError: if a single query takes more.
  """
  # What XLA's analysis of the published decoder shows: at the peak there are
  # three arrays as wide as the queries, or one, the logits and their weights,
  # which on a CPU take the logits' place.
  copies = 1 if mesh.platform() == 'cpu' else 2
  numbers = max(3 * query_channels, query_channels + copies * num_logits)
  mib_per_point = 4 * numbers * batch_size / 2**20
  at_once = math.floor(memory_mib / mib_per_point)
  if at_once < len(num_points):
    raise ValueError(
      f'memory_mib: found {memory_mib}, expected at least '
      f'{mib_per_point * len(num_points):.2f} for a query of each of '
      f'{sorted(num_points)} and a batch of {batch_size}.'
    )
  # Every modality's share is rounded up to whole queries.
  at_once = max(at_once - len(num_points), 1)
  return max(1, -(-sum(num_points.values()) // at_once))


def decode(
  model: MultimodalPerceiver,
  variables: Mapping,
  inputs: jax.Array,
  latents: jax.Array,
  *,
  num_points: Mapping[str, int],
  num_chunks: int,
) -> Arrays:
  """What `model.decode` returns for all points, a chunk at a time.

  Args:
    model: has queries that take points, for each modality of `num_points`.
    variables: of the model.
    inputs: [B, M, C] and
    latents: [B, N, D], of `model.encode`.
    num_points: how many outputs these modalities have.
    num_chunks: into how many chunks the points of each modality are divided.
      The others' queries are decoded along with every chunk.
  """
  sizes = {name: -(-n // num_chunks) for name, n in num_points.items()}

  def decode_chunk(i):
    # The last chunks are moved back so that they end with the last point.
    starts = {
      name: jnp.minimum(i * size, num_points[name] - size)
      for name, size in sizes.items()
    }
    points = {name: starts[name] + jnp.arange(sizes[name]) for name in sizes}
    return starts, model.apply(
      variables, inputs, latents, points, method='decode'
    )

  def step(i, whole):
    starts, chunk = decode_chunk(i)
    for name, size in sizes.items():
      rows_per_point = chunk[name].shape[1] // size
      chunk[name] = jax.lax.dynamic_update_slice_in_dim(
        whole[name], chunk[name], starts[name] * rows_per_point, axis=1
      )
    return chunk

  _, shapes = jax.eval_shape(decode_chunk, 0)
  empty = {}
  for name, x in shapes.items():
    shape = x.shape
    if name in sizes:
      rows = shape[1] // sizes[name] * num_points[name]
      shape = (shape[0], rows, *shape[2:])
    empty[name] = jnp.zeros(shape, x.dtype)
  return jax.lax.fori_loop(0, num_chunks, step, empty)

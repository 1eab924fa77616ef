"""Shows what the latents of a Perceiver read of an image.

For each of a few images a row of one picture: the image, what all latents
together read, and what those latents do that read the fewest inputs. And how
many inputs a latent reads: exp(entropy) of its weights, 1 if it reads one and M
if it reads all alike.

Any task that reads `image` will do, if every input is a place of a grid over
it. The weights are computed from the queries and keys of the encoder's first
cross-attend, as the task predicts; nothing else of the model runs for it.

Letters: B batch, H heads, N latents, M inputs, D width of a query.
"""

import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh
from matplotlib.figure import Figure

from perceiver_io.attention import Attention
from train_lib import batch_layout, pictures, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

PyTree = Any
TITLE = 'What the latents read'
COMMENT = (
  "The weights of the encoder's cross-attention: of all latents together, and "
  'of those that read the fewest inputs.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'AttentionMaps':
  """Reads data, num_images, and num_latents, how many to show."""
  examples = pipeline.few_examples(config.data, config.num_images)
  return AttentionMaps(
    task, batch_layout.collate(examples), mesh, folder, config.num_latents
  )


class AttentionMaps:
  """Writes one picture a step."""

  def __init__(
    self,
    task: Task,
    batch: PyTree,
    mesh: Mesh,
    folder: pathlib.Path,
    num_latents: int,
  ):
    self._batch, self._num_latents = batch, num_latents
    self._weights = sharding.jit_everywhere(
      mesh, functools.partial(latent_weights, task.predict)
    )
    self._album = pictures.Album(folder, TITLE, COMMENT)

  def run(self, state: TrainState) -> dict[str, float]:
    weights = self._weights(state.eval_variables, self._batch)
    weights = weights.mean(axis=1)  # over heads

    def drawn():
      figure = draw(self._batch['image'], weights, self._num_latents)
      yield pictures.of_figure(figure), ''

    self._album.write(int(state.step), drawn())
    return {'inputs_of_a_latent': float(inputs_read(weights).mean())}


def latent_weights(
  predict: Callable[[PyTree, PyTree], Any], variables: PyTree, batch: PyTree
) -> jax.Array:
  """The weights [B, H, N, M] of the encoder's first cross-attend.

  Inputs that are masked have none; an example must have one that is not.

  Args:
    predict: a task's; called on the other two arguments.

  Raises:
    ValueError: it applies no encoder, or one with masks of latents.
  """
  found = []

  def capture(next_method, args, kwargs, context):
    module = context.module
    if (
      isinstance(module, Attention)
      and context.method_name == '__call__'
      and module.path[-3:] == ('encoder', 'cross_attend_0', 'attention')
    ):
      masks = {name: x for name, x in kwargs.items() if x is not None}
      if masks.keys() - {'input_mask'}:
        raise ValueError(
          f'predict: found {sorted(masks)}; expected no mask but input_mask.'
        )
      found.append(_weights(module, *args, **masks))
    return next_method(*args, **kwargs)

  with nn.intercept_methods(capture):
    predict(variables, batch)
  if not found:
    raise ValueError('predict: found no encoder, expected a Perceiver.')
  return found[0]


def _weights(module, queries, inputs, input_mask=None):
  def project(x, name):
    weights = module.variables['params'][name]
    x = x.astype(jnp.float32) @ weights['kernel'] + weights['bias']
    return x.reshape(*x.shape[:2], module.num_heads, -1)

  q, k = project(queries, 'query'), project(inputs, 'key')
  logits = jnp.einsum('BNHD,BMHD->BHNM', q, k) * q.shape[-1] ** -0.5
  if input_mask is not None:
    logits = jnp.where(input_mask[:, None, None] > 0, logits, -jnp.inf)
  return jax.nn.softmax(logits, axis=-1)


def inputs_read(weights: np.ndarray) -> np.ndarray:
  """exp(entropy) of weights [..., M]."""
  positive = np.maximum(weights, np.finfo(weights.dtype).tiny)
  return np.exp(-np.sum(weights * np.log(positive), axis=-1))


def draw(images: np.ndarray, weights: np.ndarray, num_latents: int) -> Figure:
  """A row an image; `num_latents` latents, who read the fewest inputs, first.

  Args:
    images: [B, height, width, C] in any range, C 1 or 3.
    weights: [B, N, M].

  Raises:
    ValueError: if the M inputs are no grid over the images.
  """
  height, width = images.shape[1:3]
  step = round(math.sqrt(height * width / weights.shape[2]))
  grid = height // max(step, 1), width // max(step, 1)
  if math.prod(grid) != weights.shape[2]:
    raise ValueError(
      f'weights: found {weights.shape[2]} inputs, expected one for each pixel, '
      f'or each square of pixels, of {height} x {width}.'
    )
  latents = np.argsort(inputs_read(weights).mean(axis=0))[:num_latents]
  columns = 2 + len(latents)
  figure = Figure(
    figsize=(1.1 * columns, 1.1 * len(images) + 0.3), layout='constrained'
  )
  axes = figure.subplots(len(images), columns, squeeze=False)
  titles = ['image', 'all latents', *(f'latent {i}' for i in latents)]
  for axis, title in zip(axes[0], titles, strict=True):
    axis.set_title(title, fontsize=9)
  for line, image, read in zip(axes, images, weights, strict=True):
    span = np.ptp(image) or 1.0
    line[0].imshow(
      (image - image.min()) / span, 'gray', interpolation='nearest'
    )
    maps = [read.mean(axis=0), *read[latents]]
    for axis, x in zip(line[1:], maps, strict=True):
      axis.imshow(x.reshape(grid), 'inferno', vmin=0, interpolation='nearest')
    for axis in line:
      axis.set_axis_off()
  return figure

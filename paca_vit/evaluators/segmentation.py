"""mIoU as it is published: at the labels' own size, whole image or windows.

Images may be of any size: those of one size are predicted together, one to
each device. `train_lib.evaluate` does the same for images and labels of one
size only.

Shapes: B batch, H height, W width, C channels, K classes.
"""

import pathlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax import lax
from jax.sharding import Mesh

from paca_vit.tasks import segmentation
from perceiver_paca.ops import resize
from train_lib import metrics, pipeline, sharding, writer
from train_lib.task import Task, label_ranges_of
from train_lib.train_state import TrainState


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'SegmentationEvaluator':
  """Reads data, window and stride: (height, width), or None: whole images."""
  del folder  # It writes nothing.
  examples = pipeline.eval_examples(config.data, label_ranges_of(task))
  return SegmentationEvaluator(
    task, examples, mesh, config.window, config.stride
  )


class SegmentationEvaluator:
  """mean_iou, mean_class_accuracy and accuracy of a data set."""

  def __init__(
    self,
    task: Task,
    examples: Sequence[dict[str, np.ndarray]],
    mesh: Mesh,
    window: tuple[int, int] | None,
    stride: tuple[int, int] | None,
  ):
    self._examples = examples
    self._sharding = sharding.batch_sharding(mesh)
    self._num_shards = sharding.num_shards(self._sharding)
    num_classes = task.num_classes

    def predict(variables, images):
      def logits_of(images):
        return task.predict(variables, {'image': images})['logits']

      if window is None:
        return logits_of(images)
      return sliding_logits(logits_of, images, window, stride, num_classes)

    def count(logits, labels):
      if logits.shape[1:3] != labels.shape[1:]:
        logits = resize.resize_bilinear(logits, labels.shape[1:])
      return segmentation.make_metrics(
        jnp.argmax(logits, axis=-1), labels, jnp.ones(1), num_classes
      )

    # Every device gets all logits: the labels of a batch may differ in size.
    self._predict = sharding.jit_on_batches(mesh, predict)
    self._count = sharding.jit_everywhere(mesh, count)

  def run(self, state: TrainState) -> dict[str, float]:
    total = None
    examples = (self._examples[i] for i in range(len(self._examples)))
    for images, labels in same_size_batches(examples, self._num_shards):
      images = jax.device_put(images, self._sharding)
      logits = self._predict(state.eval_variables, images)
      for i, label in enumerate(labels):
        found = self._count(logits[i : i + 1], label[None])
        total = metrics.merged(total, found)
    per_class = total['mean_iou'].per_class()
    if len(per_class) <= 10:
      writer.say(f'IoU of the classes: {np.round(per_class, 4).tolist()}')
    return metrics.computed(total)


def same_size_batches(
  examples: Iterator[dict[str, np.ndarray]], size: int
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
  """Yields images [size, H, W, C], the last padded, and the labels of each."""
  waiting = defaultdict(list)
  for example in examples:
    shape = example['image'].shape
    waiting[shape].append(example)
    if len(waiting[shape]) == size:
      yield _stack(waiting.pop(shape), size)
  for group in waiting.values():
    yield _stack(group, size)


def _stack(group, size):
  images = [x['image'] for x in group]
  images += [np.zeros_like(images[0])] * (size - len(group))
  return np.stack(images), [x['label'] for x in group]


def sliding_logits(
  logits_of: Callable[[jax.Array], jax.Array],
  images: jax.Array,
  window: tuple[int, int],
  stride: tuple[int, int],
  num_classes: int,
) -> jax.Array:
  """The mean of the logits of all windows that cover a pixel.

  Args:
    logits_of: maps images [B, h, w, C] of the window's size to [B, h, w, K].
    images: [B, H, W, C].
    window: (height, width); smaller along sides that are.
    stride: between windows; the last ones end where the image ends.
    num_classes: K.

  Returns:
    [B, H, W, K].
  """
  batch, height, width, channels = images.shape
  size = (min(window[0], height), min(window[1], width))
  starts = np.array(
    [
      (top, left)
      for top in _starts(height, size[0], stride[0])
      for left in _starts(width, size[1], stride[1])
    ],
    np.int32,
  )
  covered = np.zeros((height, width), np.float32)
  for top, left in starts:
    covered[top : top + size[0], left : left + size[1]] += 1

  def add(sums, start):
    place = (0, start[0], start[1], 0)
    crop = lax.dynamic_slice(images, place, (batch, *size, channels))
    logits = logits_of(crop)
    before = lax.dynamic_slice(sums, place, logits.shape)
    return lax.dynamic_update_slice(sums, before + logits, place), None

  zeros = jnp.zeros((batch, height, width, num_classes), images.dtype)
  sums, _ = lax.scan(add, zeros, jnp.asarray(starts))
  return sums / covered[:, :, None]


def _starts(length, window, stride):
  num = -(-max(length - window, 0) // stride) + 1
  return [min(i * stride, length - window) for i in range(num)]

"""Box and mask AP as COCO has them; results as its JSON; pictures.

Images may be of any size: those of one padded size are predicted together, one
to each device. Every size is compiled once.

Shapes: B batch, H, W of the canvas, D detections.
"""

import json
import pathlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grain
import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from data.detection import coco, coco_json, coco_metric, detection_ops
from train_lib import object_pictures, pictures, pipeline, sharding, writer
from train_lib.task import Task
from train_lib.train_state import TrainState

_NUM_THREADS = 4  # that preprocess, each one image ahead
_SIDE = 480  # pixels of a tile's longer side
TITLE = 'Objects found'
COMMENT = (
  'Left: what is there. Right: what is found, with its class and score. '
  'Neither the image nor what is on it was trained on.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'DetectionEvaluator':
  """Reads data; fast: whether faster-coco-eval counts; num_images and min_score
  of the pictures."""
  source, module = pipeline.open_source(config.data)
  options = dict(config.data.preprocess)
  coco.check_classes(source[0]['categories'], options['num_classes'])
  examples = grain.MapDataset.range(len(source)).map(
    lambda i: module.preprocess(source[i], train=False, rng=None, **options)
  )
  return DetectionEvaluator(
    task,
    source,
    examples,
    mesh,
    folder,
    fast=config.fast,
    num_images=config.num_images,
    min_score=config.min_score,
  )


class DetectionEvaluator:
  """Returns box_ap, box_ap50, ..., mask_ap, ... in [0, 1].

  Figures of a range of sizes that no object is in are left out. Writes, in
  `folder`, COCO's results <step>.bbox.json and <step>.segm.json, and pictures
  <step>_<number>.png.
  """

  def __init__(
    self,
    task: Task,
    source: Sequence[dict[str, Any]],
    examples: grain.MapDataset,
    mesh: Mesh,
    folder: pathlib.Path,
    *,
    fast: bool,
    num_images: int,
    min_score: float,
  ):
    self._source, self._examples = source, examples
    self._folder, self._fast, self._min_score = folder, fast, min_score
    self._album = pictures.Album(folder, TITLE, COMMENT)
    self._shown = pipeline.spread(len(source), min(num_images, len(source)))
    self._truth = coco_metric.ground_truth(source)
    self._sharding = sharding.batch_sharding(mesh)
    self._num_shards = sharding.num_shards(self._sharding)
    self._predict = sharding.jit_on_batches(mesh, task.predict)

  def run(self, state: TrainState) -> dict[str, float]:
    options = grain.ReadOptions(_NUM_THREADS, _NUM_THREADS)
    examples = iter(self._examples.to_iter_dataset(options))
    found = [[] for _ in self._source]
    for places, batch in same_size_batches(examples, self._num_shards):
      batch = jax.device_put(batch, self._sharding)
      outputs = self._predict(state.eval_variables, batch)
      outputs = jax.tree.map(np.asarray, outputs)
      sizes = np.asarray(batch['image_size'])
      for i, place in enumerate(places):
        one = {name: x[i] for name, x in outputs.items()}
        found[place] = results_of(self._source[place], one, sizes[i])
    values = {}
    for kind, name in (('bbox', 'box'), ('segm', 'mask')):
      everything = [x for results in found for x in results]
      everything = coco_metric.of_kind(everything, kind)
      figures = coco_metric.average_precision(
        self._truth, everything, kind, self._fast
      )
      values |= {f'{name}_{k}': v for k, v in figures.items() if v >= 0}
      if jax.process_index() == 0:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f'{int(state.step):07d}.{kind}.json'
        path.write_text(json.dumps(everything))
        writer.say(f'Results as COCO has them: {path}')
    self._album.write(int(state.step), self._drawn(found))
    return values

  def _drawn(self, found):
    """Yields pictures and what they are of."""
    for place in self._shown:
      example = self._source[place]
      shown = [x for x in found[place] if x['score'] >= self._min_score]
      yield (
        pictures.grid([tiles(example, shown)]),
        f'{example["info"]["file_name"]}: {len(shown)} found with a score of '
        f'{self._min_score} or more',
      )


def results_of(
  example: dict[str, Any], outputs: dict[str, np.ndarray], size: np.ndarray
) -> list[dict[str, Any]]:
  """COCO's results of an image, by falling scores, in its own pixels.

  Args:
    example: of `coco.source`.
    outputs: of `Detection.predict`, without the leading B.
    size: [2], what the image was resized to, height and width.
  """
  info, valid = example['info'], outputs['valid'].astype(bool)
  own = info['height'], info['width']
  scale = np.tile(size[::-1] / np.array(own[::-1]), 2)
  boxes = outputs['boxes'][valid].astype(np.float64) / scale
  return coco_metric.results(
    example,
    boxes,
    outputs['scores'][valid],
    outputs['classes'][valid],
    coco_metric.paste(outputs['masks'][valid], boxes, own),
  )


def same_size_batches(
  examples: Iterable[dict[str, np.ndarray]], size: int
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
  """Yields the places of up to `size` examples, and `size` rows of them.

  The last batch of a size is filled up with its first example; `mask` is 0
  there.
  """
  waiting = defaultdict(list)
  for place, example in enumerate(examples):
    group = waiting[example['image'].shape]
    group.append((place, example))
    if len(group) == size:
      yield _stack(waiting.pop(example['image'].shape), size)
  for group in waiting.values():
    yield _stack(group, size)


def _stack(group, size):
  places, examples = zip(*group, strict=True)
  num_missing = size - len(group)
  rows = [*examples, *[examples[0]] * num_missing]
  batch = {key: np.stack([x[key] for x in rows]) for key in rows[0]}
  batch['mask'] = np.float32([1] * len(group) + [0] * num_missing)
  return list(places), batch


def tiles(
  example: dict[str, Any], found: list[dict[str, Any]]
) -> list[np.ndarray]:
  """Two captioned tiles: what is there, what is found (COCO's results)."""
  image = coco_json.open_image(example)
  there = [
    x
    for x in example['annotations']
    if coco_json.is_trained_on(x, example['info'])
  ]
  return [
    pictures.captioned(
      draw(image, example['categories'], x), f'{len(x)} {what}'
    )
    for x, what in ((there, 'objects'), (found, 'found'))
  ]


def draw(
  image: np.ndarray,
  categories: list[dict[str, Any]],
  objects: list[dict[str, Any]],
) -> np.ndarray:
  """Annotations, or results with their scores, drawn into an image."""
  ranks = {x['id']: i for i, x in enumerate(categories)}
  classes = [ranks[x['category_id']] for x in objects]
  boxes = np.float64([x['bbox'] for x in objects]).reshape(-1, 4)
  boxes[:, 2:] += boxes[:, :2]
  labels = [
    categories[rank]['name'] + (f' {x["score"]:.2f}' if 'score' in x else '')
    for rank, x in zip(classes, objects, strict=True)
  ]
  masks = [
    detection_ops.decode_mask(x, *image.shape[:2]).astype(bool) for x in objects
  ]
  return object_pictures.draw(
    image, boxes, masks, np.asarray(classes), labels, _SIDE
  )

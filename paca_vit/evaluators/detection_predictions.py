"""Objects in pictures, for `predict.py`: what the evaluator finds in them."""

import functools
import importlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np
import PIL.Image

from data import image_files
from data.detection import coco_metric
from paca_vit.evaluators import detection
from train_lib import prediction, writer


def make_predictions(
  config: ml_collections.ConfigDict, classes: tuple[str, ...] | None
) -> 'Objects':
  """Of detectors; categories are those of the evaluation's data, or numbers
  where these are gone."""
  del classes
  section = prediction.evaluation(config)
  module = importlib.import_module(section.data.module)
  if section.data.source == 'synthetic':
    categories = module.synthetic(section.data.split)[0]['categories']
  else:
    try:
      categories = module.categories(section.data.split, section.data.data_dir)
    except FileNotFoundError as e:
      writer.say(f'{e} Numbers stand for the names of categories.')
      numbers = range(1, config.model.num_classes + 1)
      categories = [{'id': i, 'name': str(i)} for i in numbers]
  return Objects(
    functools.partial(
      module.preprocess, train=False, rng=None, **section.data.preprocess
    ),
    categories,
    section.get('min_score', 0.5),
  )


class Objects:
  """Reads pictures as the run's data set; boxes, classes and masks in them.

  What is listed and drawn has a score of `min_score` or more; COCO's results
  have all that the model found.
  """

  batch_size = 1  # Pictures differ in size.

  def __init__(
    self,
    preprocess: functools.partial,
    categories: list[dict[str, Any]],
    min_score: float,
  ):
    self._preprocess = preprocess
    self._categories, self._min_score = categories, min_score

  def expand(self, given: str) -> list[pathlib.Path]:
    """A file, or all pictures in a folder."""
    if os.path.isdir(given):
      return image_files.image_paths(given)
    return [pathlib.Path(given)]

  def example(self, given: Any) -> dict[str, np.ndarray]:
    """Of a path, a file's bytes, or pixels uint8 [H, W, 3]."""
    return self._preprocess(self._of_source(_pixels(given)))

  def outputs(self, task, variables, batch):
    return task.predict(variables, batch) | {'size': batch['image_size']}

  def result(self, given: Any, output: dict[str, np.ndarray]):
    """How many, what and where; a picture with them drawn."""
    pixels = _pixels(given)
    found = detection.results_of(
      self._of_source(pixels), output, output['size']
    )
    names = {x['id']: x['name'] for x in self._categories}
    shown = [x for x in found if x['score'] >= self._min_score]
    drawn = detection.draw(pixels, self._categories, shown)
    values = {
      'found': len(shown),
      'objects': ', '.join(
        f'{names[x["category_id"]]} {x["score"]:.2f} at '
        f'{" ".join(str(round(v)) for v in x["bbox"])}'
        for x in shown
      ),
    }
    return values, {'_objects.png': PIL.Image.fromarray(drawn)}, found

  def summary(
    self, predicted: Sequence[prediction.Prediction]
  ) -> dict[str, str]:
    """COCO's results of all pictures: results.bbox.json, results.segm.json.

    `image_id` is the number that a picture's name is, as in COCO; unless all
    names are numbers of their own, the place in the order, from 1.
    `file_name` stands beside it.
    """
    names = [pathlib.Path(x.input).name for x in predicted]
    stems = [pathlib.Path(name).stem for name in names]
    ids = [int(x) for x in stems if x.isdecimal()]
    if len(set(ids)) < len(names):
      ids = range(1, len(names) + 1)
    found = [
      x | {'image_id': i, 'file_name': name}
      for one, i, name in zip(predicted, ids, names, strict=True)
      for x in one.details
    ]
    return {
      f'results.{kind}.json': json.dumps(coco_metric.of_kind(found, kind))
      for kind in ('bbox', 'segm')
    }

  def _of_source(self, pixels):
    """As `coco.source` has an image that has no objects."""
    height, width = pixels.shape[:2]
    info = {'id': 0, 'file_name': '', 'height': height, 'width': width}
    return {
      'image': pixels,
      'info': info,
      'annotations': [],
      'categories': self._categories,
    }


def _pixels(given):
  if isinstance(given, np.ndarray):
    given = PIL.Image.fromarray(given).convert('RGB')
  else:
    given = image_files.read_image(given)
  return np.asarray(given)

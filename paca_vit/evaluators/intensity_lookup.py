"""What a look-up of intensities reaches: the baseline of grey segmentation.

Every intensity, in 256 steps, gets the class that it has most often in the
training images; no class threshold can do better there. The images are those
that the model sees, unmagnified crops apart: `preprocess` of an evaluation.
"""

import pathlib

import ml_collections
import numpy as np
from jax.sharding import Mesh

from paca_vit.tasks import segmentation
from train_lib import metrics, pipeline
from train_lib.task import Task
from train_lib.train_state import TrainState

_NUM_STEPS = 256


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'IntensityLookup':
  """Reads data and fit_split, the split from which it learns."""
  del mesh, folder
  fit = pipeline.inherited(config.data, {'split': config.fit_split})
  train, test = (list(pipeline.each_example(x)) for x in (fit, config.data))
  return IntensityLookup(train, test, task.num_classes)


class IntensityLookup:
  """mean_iou, mean_class_accuracy and accuracy, whatever the state."""

  def __init__(self, train, test, num_classes: int):
    values = np.concatenate([x['image'].ravel() for x in train])
    labels = np.concatenate([x['label'].ravel() for x in train])
    edges = np.linspace(values.min(), values.max(), _NUM_STEPS)[1:]
    counts = np.zeros((_NUM_STEPS, num_classes))
    labelled = labels < num_classes
    np.add.at(
      counts, (np.digitize(values[labelled], edges), labels[labelled]), 1
    )
    lookup = counts.argmax(axis=1)
    predictions = [lookup[np.digitize(x['image'][..., 0], edges)] for x in test]
    found = segmentation.make_metrics(
      np.stack(predictions),
      np.stack([x['label'] for x in test]),
      np.ones(len(test)),
      num_classes,
    )
    self._results = metrics.computed(found)

  def run(self, state: TrainState) -> dict[str, float]:
    del state
    return self._results

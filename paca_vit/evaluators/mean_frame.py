"""What a linear model of the mean frame reaches: the baseline of video."""

import pathlib

import ml_collections
import numpy as np
from jax.sharding import Mesh

from paca_vit.evaluators.linear_pixels import LinearPixels
from train_lib import pipeline
from train_lib.task import Task


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> LinearPixels:
  """Reads data and fit_split, the split from which it learns."""
  del task, mesh, folder
  splits = []
  fit = pipeline.inherited(config.data, {'split': config.fit_split})
  for data in (fit, config.data):
    frames, labels = [], []
    for x in pipeline.each_example(data):
      # In float64: what differs only in order has one mean.
      frames.append(x['image'].mean(axis=0, dtype=float))
      labels.append(x['label'])
    splits.append((np.stack(frames), np.stack(labels)))
  return LinearPixels(*splits)

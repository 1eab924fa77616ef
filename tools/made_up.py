"""Invented examples in the shapes of a run, for programs that read no data."""

from collections.abc import Collection
from typing import Any

import ml_collections
import numpy as np

from train_lib import pipeline

PyTree = Any
ARRAYS = 'data.arrays.arrays'
# Elements and queries of an example of arrays; models take any number.
NUM_ELEMENTS = 64


def example(
  config: ml_collections.ConfigDict,
  variables: Collection[str] = (),
  num_elements: int = NUM_ELEMENTS,
) -> PyTree:
  """One, preprocessed as in training.

  Args:
    config: of a run; of arrays all that is derived from the data.
    variables: names of the model's, 'params/queries/kernel': of arrays they
      say whether places are asked.
    num_elements: of arrays that are no table.

  Raises:
    ValueError: what is to be derived of the data is not there.
  """
  if config.data.module != ARRAYS:
    made_up = pipeline.inherited(config.data, {'source': 'synthetic'})
    return pipeline.training_example(made_up)
  options = config.data.preprocess
  if options.mean is None:
    raise ValueError(
      'config.data.preprocess: expected what a run derived from its data, '
      'found None; the run has it in its config.json.'
    )
  mean, dimensions = np.asarray(options.mean), len(options.low)
  if mean.ndim == 2:  # Of a table the columns'.
    num_elements = len(mean)
  rng = np.random.default_rng(0)

  def places(number):
    return rng.uniform(-1, 1, (number, dimensions)).astype(np.float32)

  made = {
    'x': rng.normal(size=(num_elements, mean.shape[-1])).astype(np.float32),
    'coordinates': places(num_elements),
    'input_mask': np.ones(num_elements, np.float32),
  }
  if any('/queries/' in name for name in variables):
    made['queries'] = places(NUM_ELEMENTS)
  return made

"""Batches made ahead of time, by threads and processes."""

from collections.abc import Callable, Iterator
from typing import Any

import grain
import ml_collections


def make_prefetch(
  data_config: ml_collections.ConfigDict,
) -> Callable[[grain.MapDataset], Iterator[Any]]:
  """A function from a dataset to an iterator that works ahead.

  Args:
    data_config: num_threads and num_workers, see `train_lib.pipeline`.
  """
  read_options = grain.ReadOptions(
    num_threads=data_config.num_threads,
    prefetch_buffer_size=data_config.num_threads,
  )
  num_workers = data_config.num_workers

  def prefetch(dataset: grain.MapDataset) -> Iterator[Any]:
    dataset = dataset.to_iter_dataset(read_options)
    if num_workers:
      dataset = dataset.mp_prefetch(
        grain.MultiprocessingOptions(num_workers, per_worker_buffer_size=1)
      )
    return iter(dataset)

  return prefetch

"""What a run says of itself."""

import os

import jax

from tests import linear_task
from train_lib import results


def test_about_counts_the_parameters_and_no_statistics():
  config = linear_task.get_config()
  about = results.about(config)
  assert about['parameters'] == 28 * 28 * 10 + 10
  assert about['task'] == config.task.module
  assert about['data'] == config.data.module
  assert about['best_metric'] == config.checkpoint.best_metric
  assert about['evals'] == list(config.evals)
  cores = os.cpu_count()
  assert about['device'] == f'{jax.device_count()} x cpu, {cores} cores'

"""What a run says of itself."""

import os

import jax

from configs.paca_vit import digits_on_photos
from train_lib import pipeline, results
from train_lib.task import make_task


def test_about_counts_the_parameters_that_there_are():
  config = digits_on_photos.get_config('tiny')
  for section in (config, *config.evals.values()):
    section.data.source = 'synthetic'
  about = results.about(config)
  batch = pipeline.collate([pipeline.training_example(config.data)])
  variables = make_task(config).init(jax.random.key(0), batch)
  assert about['parameters'] == sum(
    x.size for x in jax.tree.leaves(variables['params'])
  )
  assert about['task'] == 'paca_vit.tasks.classification'
  assert about['data'] == 'data.images.digits_on_photos'
  assert about['best_metric'] == 'test/accuracy'
  assert (
    about['device'] == f'{jax.device_count()} x cpu, {os.cpu_count()} cores'
  )

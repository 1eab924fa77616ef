"""Every model is traced for any number of examples, as an export needs it."""

import importlib

import jax
import numpy as np
import pytest
from jax import export

from perceiver_io.position_encoding import LearnedPositions
from tests.test_configs import all_synthetic, config_modules
from train_lib import batch_layout, pipeline, run_files
from train_lib.task import make_task

# Small where the config has a small one; the others are of the papers' sizes.
SMALL = ('tiny', 'demo')
# Detectors take longest, and one of them is like the other.
LATER = ('configs.paca_vit.finetune_detection', 'configs.paca_vit.nuclei')


def variants():
  for module in config_modules():
    small = [x for x in SMALL if x in module.VARIANTS]
    later = not small or module.__name__ in LATER
    marks = [pytest.mark.full] if later else []
    name = small[0] if small else module.VARIANTS[0]
    yield pytest.param(
      module.__name__, name, marks=marks, id=f'{module.__name__}:{name}'
    )


@pytest.mark.parametrize('module, variant', variants())
def test_predictions_are_traced_with_a_free_batch(module, variant):
  config = all_synthetic(importlib.import_module(module).get_config(variant))
  config, _ = run_files.derived(config)
  task = make_task(config)
  batch = batch_layout.batch_spec(pipeline.training_example(config.data))
  variables = jax.eval_shape(task.init, jax.random.key(0), batch)
  (free,) = export.symbolic_shape('b')

  def with_batch(n):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype), batch
    )

  outputs = jax.eval_shape(task.predict, variables, with_batch(free))
  expected = jax.eval_shape(task.predict, variables, with_batch(1))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), expected) == jax.tree.map(
    lambda x: ((1, *x.shape[1:]), x.dtype), outputs
  )
  assert all(x.shape[0] == free for x in jax.tree.leaves(outputs))


def test_learned_positions_of_a_free_length():
  positions = LearnedPositions((8,), 3)
  variables = positions.init(jax.random.key(0))
  (length,) = export.symbolic_shape('n', constraints=['n <= 8'])

  def table_of(x):
    return positions.apply(variables, x.shape)

  exported = export.export(jax.jit(table_of))(
    jax.ShapeDtypeStruct((length,), np.float32)
  )
  whole = variables['params']['table']
  for n in (1, 5, 8):
    np.testing.assert_array_equal(exported.call(np.zeros(n, 'f')), whole[:n])

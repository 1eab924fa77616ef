"""A run is assembled once; evaluations alone tell the model's shapes."""

import importlib

import jax
import pytest

import train
from configs.paca_vit import imagenet as paca_imagenet
from data.images import device_crop
from tests import linear_task
from train_lib import batch_layout, pipeline, setup, sharding


@pytest.mark.parametrize(
  'name',
  [
    # In each, images or clips of an evaluation are of another size or number.
    'paca_vit.brain:tiny',
    'paca_vit.depth:demo',
    'perceiver_io.audioset:tiny',
    'perceiver_io.optical_flow:tiny',
  ],
)
def test_an_evaluation_tells_what_training_batches_look_like(name):
  module, _, variant = name.partition(':')
  config = importlib.import_module(f'configs.{module}').get_config(variant)
  for data in (config.data, *(x.data for x in config.evals.values())):
    data.source = 'synthetic'
  wanted = batch_layout.batch_spec(pipeline.training_example(config.data))
  config.data.update(source='real', split='none', data_dir='/proc/none')
  found = setup.evaluation_batch(config)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), found) == jax.tree.map(
    lambda x: (x.shape, x.dtype), wanted
  )


def test_another_data_set_is_preprocessed_as_its_evaluation_does():
  config = linear_task.get_config()
  config.evals.test.data.module = 'data.images.digits'
  found = setup.evaluation_batch(config)
  assert found['image'].shape == (1, 8, 8, 1)


def test_no_evaluation_is_named():
  config = linear_task.get_config()
  del config.evals['test']
  with pytest.raises(ValueError, match='config.evals: expected an evaluation'):
    setup.evaluation_batch(config)


def test_shapes_stand_for_the_training_set():
  config = linear_task.get_config()
  whole = setup.make_setup(config)
  config.data.update(source='real', split='none', data_dir='/proc/none')
  shape = (64, 28, 28, 1)
  batch = {'image': jax.ShapeDtypeStruct(shape, 'float32')}
  alone = setup.make_setup(config, batch=batch)
  assert alone.batches is None
  assert alone.state == whole.state


@pytest.mark.full
def test_the_model_sees_what_the_device_prepares():
  config = paca_imagenet.get_config()
  config.model.depths = (1, 1, 1, 1)
  config.data.update(source='synthetic', batch_size=8)
  for section in config.evals.values():
    section.data.source = 'synthetic'
  config.data.preprocess.augment.on_device = True
  plain = setup.make_setup(config)
  config.data.preprocess.crop_on_device = True
  run = setup.make_setup(config)
  assert set(run.batch) == {'label', 'mask', *device_crop.KEYS}
  assert run.state == plain.state
  spec = jax.tree.map(lambda x: (x.shape[1:], x.dtype), plain.batch)
  alone = setup.evaluation_batch(config)
  assert jax.tree.map(lambda x: (x.shape[1:], x.dtype), alone) == spec
  batch = next(run.batches)
  seen = jax.jit(sharding.on_mesh(run.mesh, run.on_device))(batch, 0)
  assert seen['image'].sharding.shard_shape(seen['image'].shape)[0] == 1
  assert jax.tree.map(lambda x: (x.shape[1:], x.dtype), seen) == spec
  assert train.make_step(run, config)  # traced: all fits together

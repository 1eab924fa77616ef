"""Logistic regression as a task: compiles in no time, for tests of the loop."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import optax

from configs import common
from train_lib import metrics
from train_lib.task import LossAux

PREDICTIONS = 'data.images.predictions'


@dataclasses.dataclass(frozen=True)
class LinearTask:
  """Batch keys: image [B, 28, 28, 1], label [B], mask [B]."""

  num_classes: int
  poison: float = 0.0  # the loss is NaN once a batch's mean is above it

  def init(self, rng, batch):
    size = batch['image'][0].size
    kernel = 0.01 * jax.random.normal(rng, (size, self.num_classes))
    return {
      'params': {'kernel': kernel, 'bias': jnp.zeros(self.num_classes)},
      'stats': {'steps': jnp.zeros(())},
    }

  def _logits(self, variables, batch):
    params = variables['params']
    x = batch['image'].reshape(len(batch['image']), -1)
    return x @ params['kernel'] + params['bias']

  def _losses(self, variables, batch):
    logits = self._logits(variables, batch)
    return logits, optax.softmax_cross_entropy_with_integer_labels(
      logits, batch['label']
    )

  def loss(self, variables, batch, rng):
    del rng
    loss = self._losses(variables, batch)[1].mean()
    steps = variables['stats']['steps'] + 1
    loss = jnp.where((self.poison > 0) & (steps > self.poison), jnp.nan, loss)
    weight = batch['mask'].sum()
    return loss, LossAux({'stats': {'steps': steps}}, {}, weight)

  def metrics(self, variables, batch):
    logits, losses = self._losses(variables, batch)
    correct = logits.argmax(-1) == batch['label']
    return {
      'accuracy': metrics.Mean.of(correct, batch['mask']),
      'loss': metrics.Mean.of(losses, batch['mask']),
    }

  def predict(self, variables, batch):
    return {'logits': self._logits(variables, batch)}


def make_task(config, model):
  del config
  return LinearTask(model.num_classes, model.poison)


def get_config():
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.num_steps = 6
  config.task = dict(module='tests.linear_task')
  config.model = dict(num_classes=10, poison=0.0)
  config.data = common.data('data.images.mnist5k', 'train', 64)
  config.data.source = 'synthetic'
  config.evals = dict(
    test=dict(
      module='train_lib.evaluate', every_steps=3, data=dict(split='test')
    )
  )
  config.optim = common.adamw(lr=1e-2)
  config.checkpoint = common.checkpoint(2, 'test/accuracy')
  config.log_every_steps = 1
  config.update(common.parallel())
  config.init_from = common.from_scratch()
  return config

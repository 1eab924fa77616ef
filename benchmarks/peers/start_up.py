"""A run of `train.py` that ends where its first step would be compiled.

A side of the row `start_up`, a process of its own. Its arguments are a config,
`paca_vit.imagenet:tiny_p2cconv_100_0`, and `init`, without which it ends where
the state would be initialised. Examples are made up. The compile cache is off.
"""

import importlib
import sys
import tempfile

import jax
from absl import logging

import train


def main(path: str, upto: str = '') -> None:
  jax.config.update('jax_enable_compilation_cache', False)
  logging.set_verbosity(logging.FATAL)  # as `runtime.initialize` does
  name, _, variant = path.partition(':')
  config = importlib.import_module(f'configs.{name}').get_config(variant)
  config.data.update(source='synthetic', batch_size=8)
  train.schema.check(config)
  make_step, make_setup = train.make_step, train.setup.make_setup

  def stop(*_):
    sys.exit()

  def make_steps(run, config):
    make_step(run, config)  # traced here, compiled when it is called
    return stop

  train.make_step = make_steps
  if upto != 'init':
    train.setup.make_setup = lambda config: make_setup(config)._replace(
      init=stop
    )
  with tempfile.TemporaryDirectory() as workdir:
    train.train_and_evaluate(config, workdir)


if __name__ == '__main__':
  main(*sys.argv[1:])

"""Our side of each row: functions that make what does one pass."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from configs.paca_vit import imagenet as paca_imagenet
from configs.perceiver_io import imagenet as perceiver_imagenet

Pass = Callable[[], Any]


def model(
  path: str,
  batch_size: int,
  mode: str,
  at_once: bool = False,
  keep_freed: bool = True,
) -> Pass:
  """A config's model on made-up examples, in float32.

  Args:
    path: of the config: 'paca_vit.imagenet:tiny_p2cconv_100_0'.
    batch_size: examples that the model sees.
    mode: 'predict', the forward pass, 'loss', the forward pass of training, or
      'train': loss, gradients and AdamW.
    at_once: all examples, where an evaluation takes some after the others.
    keep_freed: with glibc set as `train.py` sets it, see `host_memory`.
  """
  import jax

  from benchmarks import one_device
  from train_lib import host_memory, in_parts

  if keep_freed:
    host_memory.keep_freed()
  name, variant = path.split(':')
  config = importlib.import_module(f'configs.{name}').get_config(variant)
  config.optim.update(name='adamw', clip_norm=None)
  if 'mixing' in config.task:  # comes before the model, and no peer has it
    config.task.mixing = None
  run, train_step = one_device.make_train_step(config, batch_size)
  batch, state = next(run.batches), run.init()
  if mode == 'train':
    program = train_step.lower(run.state, batch).compile()

    def train():
      nonlocal state
      state, scalars = program(state, batch)
      jax.block_until_ready((state, scalars))

    return train

  def outputs(variables, batch):
    if mode == 'loss':
      return run.task.loss(variables, batch, jax.random.key(0))[0]
    found = run.task.predict(variables, batch)  # without what pictures need
    return found['logits'] if 'logits' in found else found['flow']

  variables = state.eval_variables
  del state
  if at_once or mode == 'loss':
    program = jax.jit(outputs).lower(variables, batch).compile()
    return lambda: jax.block_until_ready(program(variables, batch))
  evaluated = in_parts.InParts(run.mesh, outputs)
  return lambda: jax.block_until_ready(list(evaluated(variables, batch)))


def start_up(path: str, is_initialised: bool) -> Pass:
  """Starts `train.py` anew, up to where its first step would be compiled.

  Args:
    path: of the config.
    is_initialised: the state, too; else up to where that would be compiled,
      which a run that goes on does without.
  """
  arguments = [path, *(['init'] if is_initialised else [])]
  command = [sys.executable, '-m', 'benchmarks.peers.start_up', *arguments]
  return lambda: subprocess.run(command, check=True)


def pipeline(files: Sequence[bytes], recipe: str) -> Pass:
  """Preprocesses every file once, on this thread.

  Args:
    files: JPEGs.
    recipe: a name in `RECIPES`.
  """
  from data.images import imagenet
  from train_lib import host_memory

  host_memory.keep_freed()  # as `train.py` does
  rng = np.random.default_rng(0)

  def each():
    for file in files:
      example = {'image': file, 'label': 0}
      imagenet.preprocess(example, train=True, rng=rng, **RECIPES[recipe])

  return each


def _host_part(recipe):
  return recipe | {'augment': recipe['augment'] | {'on_device': True}}


_PACA = paca_imagenet.get_config().data.preprocess.to_dict()
_PERCEIVER = perceiver_imagenet.get_config().data.preprocess.to_dict()
_CROP = {k: v for k, v in _PACA.items() if k != 'augment'}  # and a flip
RECIPES = {
  'crop': _CROP,
  'paca': _PACA,
  'perceiver': _PERCEIVER,
  'paca_host': _host_part(_PACA),
  'perceiver_host': _host_part(_PERCEIVER),
  'crop_device': _CROP | {'crop_on_device': True},
  'paca_device': _host_part(_PACA) | {'crop_on_device': True},
}

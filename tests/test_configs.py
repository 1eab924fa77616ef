"""Every config builds, names what exists, and holds no option nobody reads."""

import glob
import importlib
import pathlib
from collections.abc import Mapping

import jax
import ml_collections
import pytest

import train
from configs.paca_vit import imagenet
from tests import linear_task
from train_lib import evaluators, run_files, setup, sharding

ROOT = pathlib.Path(__file__).parent.parent


class Recorder(Mapping):
  """A config that notes the paths of the options read from it."""

  def __init__(self, config, prefix='', read=None):
    self._config, self._prefix = config, prefix
    self.read = set() if read is None else read

  def __getitem__(self, key):
    path, value = f'{self._prefix}{key}', self._config[key]
    if isinstance(value, ml_collections.ConfigDict):
      return Recorder(value, f'{path}.', self.read)
    self.read.add(path)
    return value

  def __getattr__(self, key):
    if key.startswith('__'):
      raise AttributeError(key)
    return self[key]

  def __iter__(self):
    return iter(self._config)

  def __len__(self):
    return len(self._config)


def leaves(config, prefix=''):
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict) and len(value):
      yield from leaves(value, f'{prefix}{key}.')
    elif not isinstance(value, ml_collections.ConfigDict):
      yield f'{prefix}{key}'


def config_modules():
  paths = sorted(glob.glob('configs/*/*.py', root_dir=ROOT))
  names = [p[: -len('.py')].replace('/', '.') for p in paths]
  modules = [importlib.import_module(n) for n in names if '__init__' not in n]
  return [m for m in modules if hasattr(m, 'get_config')]


def all_synthetic(config):
  """The config with invented examples and batches that eight devices share."""
  for data in [config.data] + [e.data for e in config.evals.values()]:
    data.source = 'synthetic'
    if 'batch_size' in data:
      data.batch_size = 8
  return config


@pytest.fixture(scope='module')
def read_by_the_loop(tmp_path_factory):
  config, folder = linear_task.get_config(), tmp_path_factory.mktemp('runs')
  recorder = Recorder(config)
  train.train_and_evaluate(recorder, str(folder / 'first'))
  config.init_from.path = str(folder / 'first')
  train.train_and_evaluate(recorder, str(folder / 'second'))
  # An evaluator's own options are not the loop's, its schedule is.
  return {p.replace('evals.test.', 'evals.*.') for p in recorder.read}


@pytest.mark.parametrize('module', config_modules(), ids=lambda m: m.__name__)
def test_every_option_is_read(module, read_by_the_loop, tmp_path):
  config, _ = run_files.derived(all_synthetic(module.get_config()))
  recorder = Recorder(config)
  run = setup.make_setup(recorder)
  assert jax.tree.leaves(run.state.params)
  evaluators.make_evaluators(recorder, run.task, run.mesh, str(tmp_path))

  read = recorder.read | {
    path.replace('evals.*.', f'evals.{name}.')
    for path in read_by_the_loop
    if 'data' not in path and 'model' not in path
    for name in config.evals
  }
  assert not set(leaves(config)) - read
  best = config.checkpoint.best_metric
  assert best is None or best.split('/')[0] in config.evals


def imagenet_run(size):
  """The recipe with two JPEGs a batch on one device, and its step."""
  config = all_synthetic(imagenet.get_config(f'{size}_p2cconv_100_0'))
  config.data.batch_size = 2
  # The first epoch's rate is 1e-6: too small to see a difference.
  config.optim.schedule.warmup_steps = 0
  mesh = sharding.make_mesh(dict.fromkeys(config.mesh, 1), jax.devices()[:1])
  run = setup.make_setup(config, mesh=mesh)
  return run, train.make_step(run, config).lower(run.state, run.batch)


@pytest.mark.parametrize('size', ['tiny', 'small', 'base'])
def test_imagenet_recipe_lowers(size):
  run, step = imagenet_run(size)
  new_state, scalars = step.out_info
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), (run.state, new_state))
  assert shapes[0] == shapes[1]
  assert scalars['loss'].shape == ()


@pytest.mark.parametrize(
  'size',
  [
    'tiny',
    pytest.param('small', marks=pytest.mark.slow),
    pytest.param('base', marks=pytest.mark.slow),
  ],
)
def test_imagenet_recipe_takes_two_steps(size):
  """The whole recipe at 224: JPEGs, augmentation, mixing, update."""
  run, step = imagenet_run(size)
  # Half the time of compilation.
  step = step.compile({'xla_backend_optimization_level': 0})
  state = run.init()
  head = jax.device_get(state.params['head']['kernel'])
  for _ in range(2):
    state, scalars = step(state, next(run.batches))
    assert 0 < scalars['loss'] < 20 and 0 < scalars['grad_norm'] < 1e3
  change = abs(jax.device_get(state.params['head']['kernel']) - head).max()
  # Two updates of Adam, each at most the learning rate 1e-3 long.
  assert 1e-3 < change < 2.1e-3

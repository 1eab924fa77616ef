"""Every config builds, names what exists, and holds no option nobody reads."""

import functools
import glob
import importlib
import inspect
import pathlib
from collections.abc import Mapping

import jax
import ml_collections
import pytest

import train
from configs.paca_vit import imagenet
from tests import linear_task
from train_lib import evaluators, optim, pipeline, run_files, setup, sharding
from train_lib.task import make_task

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
  config.data.source, config.data.batch_size = 'synthetic', 8
  for section in config.evals.values():
    if 'batch_size' in section.data:
      section.data.batch_size = 8
  return config


every_module = pytest.mark.parametrize(
  'module', config_modules(), ids=lambda m: m.__name__
)
every_variant = pytest.mark.parametrize(
  'module, variant',
  [(m.__name__, v) for m in config_modules() for v in m.VARIANTS],
)


@pytest.fixture(scope='module')
def read_by_the_loop(tmp_path_factory):
  """Options that every run has; tasks and data sets have their own."""
  config, folder = linear_task.get_config(), tmp_path_factory.mktemp('runs')
  recorder = Recorder(config)
  train.train_and_evaluate(recorder, str(folder / 'first'))
  config.init_from.path = str(folder / 'first')
  train.train_and_evaluate(recorder, str(folder / 'second'))
  own = ('task', 'model', 'optim', 'evals')
  return {
    path
    for path in recorder.read
    if path.partition('.')[0] not in own and 'preprocess' not in path
  }


_read = {}  # by sections: variants share most of theirs


def read_of(section, path, use):
  """Paths of the options that `use` reads of a section."""
  key = path, section.to_json_best_effort()
  if key not in _read:
    recorder = Recorder(section, f'{path}.')
    use(recorder)
    _read[key] = recorder.read
  return _read[key]


@every_variant
def test_every_option_is_read(module, variant, read_by_the_loop, tmp_path):
  """Nothing is traced: what reads options is built, and reads one example."""
  config = all_synthetic(importlib.import_module(module).get_config(variant))
  config, _ = run_files.derived(config)
  if 'num_clips' in config.data.preprocess:
    config.data.preprocess.num_clips = 2
  recorder = Recorder(config, read=set(read_by_the_loop))
  task = make_task(recorder)
  _, schedule = optim.make_optimizer(recorder.optim, config.num_steps)
  schedule(0)
  recorder.optim.num_microbatches  # noqa: B018 - by the step
  read = recorder.read | read_of(config.data, 'data', pipeline.training_example)
  mesh = sharding.make_mesh(config.mesh)
  for name, section in evaluators.sections(config).items():
    if 'num_fitted' in section:
      section.num_fitted = 20
    read |= {f'evals.{name}.{x}' for x in ('module', 'every_steps')}
    make = importlib.import_module(section.module).make_evaluator
    read |= read_of(
      section,
      f'evals.{name}',
      functools.partial(make, task=task, mesh=mesh, folder=tmp_path),
    )
  assert not set(leaves(config)) - read


@every_variant
def test_an_evaluator_names_only_what_differs(module, variant):
  config = importlib.import_module(module).get_config(variant)
  for name, section in config.evals.items():
    own = section.data.to_dict()
    for options, of_the_run in (
      (own.pop('preprocess', {}), config.data.preprocess),
      (own, config.data),
    ):
      repeated = {k for k, v in options.items() if of_the_run.get(k) == v}
      assert not repeated, f'evals.{name}.data'
  assert config.checkpoint.best_metric.split('/')[0] in config.evals


@every_module
def test_a_default_is_in_one_home(module):
  """What a config says is no default of the function that reads it."""
  for variant in module.VARIANTS:
    data = module.get_config(variant).data
    preprocess = importlib.import_module(data.module).preprocess
    repeated = {
      name
      for name, parameter in inspect.signature(preprocess).parameters.items()
      if parameter.default is not None
      and data.preprocess.get(name) == parameter.default
    }
    assert not repeated, (variant, data.module)


@pytest.mark.full
@every_module
def test_every_config_builds(module):
  """At its own size; test_free_batch.py builds the small ones."""
  config, _ = run_files.derived(all_synthetic(module.get_config()))
  assert jax.tree.leaves(setup.make_setup(config).state.params)


def imagenet_run(size):
  """The recipe with two JPEGs a batch on one device, and its step."""
  config = all_synthetic(imagenet.get_config(f'{size}_p2cconv_100_0'))
  config.data.batch_size = 2
  # Batches of 1024 have this rate, and two images the 512th part of it; in the
  # first epoch it is smaller still: too small to see a difference.
  config.optim.schedule.lr = 1e-3
  config.optim.schedule.warmup_steps = 0
  mesh = sharding.make_mesh(dict.fromkeys(config.mesh, 1), jax.devices()[:1])
  run = setup.make_setup(config, mesh=mesh)
  return run, train.make_step(run, config).lower(run.state, run.batch)


@pytest.mark.full
@pytest.mark.parametrize('size', ['tiny', 'small', 'base'])
def test_imagenet_recipe_lowers(size):
  run, step = imagenet_run(size)
  new_state, scalars = step.out_info
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), (run.state, new_state))
  assert shapes[0] == shapes[1]
  assert scalars['loss'].shape == ()


@pytest.mark.full
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

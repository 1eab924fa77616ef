"""What --config sets reaches all that a config derives from it."""

import fnmatch
import importlib
import pathlib
import sys
from unittest import mock

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from tests import test_configs
from train_lib import evaluators

ROOT = pathlib.Path(__file__).parent.parent
VARIANTS = [
  (module.__name__.removeprefix('configs.'), variant)
  for module in test_configs.config_modules()
  for variant in module.VARIANTS
]
# Module: option -> which part of the run it is, where a variant has it.
PARTS = {
  'baselines.entity_transformer': {
    'optim.schedule.flat_steps': 2,
    'evals.baselines.every_steps': 1,
    'evals.boards.every_steps': 1,
  },
  'paca_vit.ade20k': {'evals.clusters.every_steps': 1},
  'paca_vit.brain': {
    'evals.test.every_steps': 4,
    'evals.intensity.every_steps': 1,
    'evals.clusters.every_steps': 1,
    'checkpoint.every_steps': 4,
  },
  'paca_vit.depth': {'evals.test.every_steps': 4, 'checkpoint.every_steps': 4},
  'paca_vit.digits_on_photos': {
    'evals.test.every_steps': 5,
    'evals.clusters.every_steps': 1,
    'checkpoint.every_steps': 5,
  },
  'paca_vit.mnist5k': {
    'evals.clusters.every_steps': 1,
    'evals.decisions.every_steps': 1,
  },
  'paca_vit.nuclei': {
    'evals.test.every_steps': 1,
    'evals.watershed.every_steps': 1,
    'checkpoint.every_steps': 1,
  },
  'paca_vit.objects': {
    'evals.test.every_steps': 3,
    'evals.clusters.every_steps': 1,
    'evals.colors.every_steps': 1,
    'checkpoint.every_steps': 3,
  },
  'paca_vit.video': {
    'evals.test.every_steps': 6,
    'evals.mean_frame.every_steps': 1,
    'checkpoint.every_steps': 3,
    'optim.schedule.warmup_steps': 30,
    'log_every_steps': 60,
  },
  'perceiver_io.audioset': {
    'optim.schedule.flat_steps': 2,
    'evals.linear.every_steps': 1,
  },
  'perceiver_io.imagenet': {'optim.schedule.flat_steps': 2},
  'perceiver_io.mnist5k': {'evals.attention.every_steps': 1},
  'perceiver_io.starcraft': {
    'optim.schedule.flat_steps': 2,
    'evals.baselines.every_steps': 1,
    'evals.boards.every_steps': 1,
  },
}
# Module: what is a number of epochs in its published recipes.
EPOCHS = {
  'paca_vit.coco': ('evals.*.every_steps', 'checkpoint.*_steps'),
  'paca_vit.high_resolution': ('evals.*.every_steps', 'checkpoint.*_steps'),
  'paca_vit.imagenet': (
    'evals.*.every_steps',
    'checkpoint.*_steps',
    'optim.schedule.warmup_steps',
    'optim.schedule.update_every_steps',
  ),
  'paca_vit.mnist5k': (
    'evals.*.every_steps',
    'checkpoint.*_steps',
    'optim.schedule.warmup_steps',
  ),
  'perceiver_io.audioset': (
    'evals.*.every_steps',
    'checkpoint.*_steps',
    'optim.schedule.flat_steps',
  ),
  'perceiver_io.glue': ('evals.*.every_steps', 'checkpoint.*_steps'),
  'perceiver_io.imagenet': (
    'evals.*.every_steps',
    'checkpoint.*_steps',
    'optim.schedule.flat_steps',
  ),
  'perceiver_io.mnist5k': ('evals.*.every_steps', 'checkpoint.*_steps'),
  'perceiver_io.optical_flow': (),
}
# Module: rates in proportion to the batch.
RATES = {
  'paca_vit.imagenet': ('lr', 'end_lr', 'warmup_lr'),
  'perceiver_io.imagenet': ('lr',),
}


def parse(module, variant, *options):
  """The config as train.py gets it."""
  values = flags.FlagValues()
  config_flags.DEFINE_config_file('config', flag_values=values)
  path = ROOT / f'configs/{module.replace(".", "/")}.py'
  command = ['train.py', f'--config={path}:{variant}', *options]
  with mock.patch.object(sys, 'argv', command):  # where it looks for options
    values(command)
  return values.config


def value(config, path):
  for key in path.split('.'):
    if key not in config:
      return None
    config = config[key]
  return config


def options(config, path=''):
  """(path, value) of all options; computed ones are references."""
  for key, found in config.items(preserve_field_references=True):
    if isinstance(resolved(found), ml_collections.ConfigDict):
      yield from options(resolved(found), f'{path}{key}.')
    else:
      yield f'{path}{key}', found


def sections(config):
  for section in config.values():
    if isinstance(section, ml_collections.ConfigDict):
      yield section
      yield from sections(section)


def is_reference(found):
  return isinstance(found, ml_collections.FieldReference)


def resolved(found):
  return found.get() if is_reference(found) else found


def is_part(config, path, parts):
  """Whether it is num_steps / parts, rounded either way."""
  found, num_steps = value(config, path), config.num_steps
  return found in (num_steps // parts, -(-num_steps // parts))


@pytest.mark.parametrize('module', PARTS)
@pytest.mark.parametrize('steps', [1_200, 7])
def test_parts_of_a_run_follow_its_length(module, steps):
  variants = [v for m, v in VARIANTS if m == module and v != 'tiny']
  tried = set()
  for variant in variants:
    before = parse(module, variant)
    after = parse(module, variant, f'--config.num_steps={steps}')
    assert after.num_steps == steps
    for path, parts in PARTS[module].items():
      if is_part(before, path, parts):
        tried.add(path)
        assert is_part(after, path, parts), (variant, path)
        if path != 'optim.schedule.flat_steps':
          assert value(after, path) >= 1  # a step is divided by it
  assert tried == set(PARTS[module])


@pytest.mark.parametrize('module', EPOCHS)
def test_epochs_are_epochs_with_another_batch(module):
  published = 0
  for variant in (v for m, v in VARIANTS if m == module):
    before = parse(module, variant)
    half = before.data.batch_size // 2
    after = parse(module, variant, f'--config.data.batch_size={half}')
    if after.num_steps == before.num_steps:
      continue  # its steps are no epochs
    published += 1
    for path in 'num_steps', *test_configs.leaves(before):
      chosen = any(fnmatch.fnmatch(path, p) for p in EPOCHS[module])
      if path == 'num_steps' or (chosen and value(before, path)):
        # Whole batches are counted.
        ratio = value(after, path) / value(before, path)
        assert ratio == pytest.approx(2, rel=0.04), (variant, path)
  assert published


@pytest.mark.parametrize('module', RATES)
def test_rates_are_in_proportion_to_the_batch(module):
  variant = next(v for m, v in VARIANTS if m == module)
  before = parse(module, variant)
  doubled = 2 * before.data.batch_size
  after = parse(module, variant, f'--config.data.batch_size={doubled}')
  for name in RATES[module]:
    rate = before.optim.schedule[name]
    assert after.optim.schedule[name] == pytest.approx(2 * rate)


@pytest.mark.parametrize(
  'module, variant', [v for v in VARIANTS if v[1] != 'tiny']
)
def test_what_is_derived_may_be_set(module, variant):
  """The number of the command line wins over the derived one."""
  config = parse(
    module,
    variant,
    '--config.checkpoint.every_steps=17',
    '--config.num_steps=1000',
    '--config.data.data_dir=/sets',
    '--config.data.source=synthetic',
  )
  assert config.checkpoint.every_steps == 17
  for section in evaluators.sections(config).values():
    assert section.data.data_dir == '/sets'
    assert section.data.source == 'synthetic'


@pytest.mark.parametrize('module, variant', VARIANTS)
def test_an_option_changes_no_other(module, variant):
  """But for the length of the run and the like, which others follow."""
  make = importlib.import_module(f'configs.{module}').get_config
  before = dict(options(make(variant)))
  computed = {
    path
    for path, found in before.items()
    if is_reference(found) and isinstance(resolved(found), int | float)
  }
  for path in computed - {'num_steps', 'data.batch_size', 'model.num_classes'}:
    config = make(variant)
    section, _, name = path.rpartition('.')
    section = value(config, section) if section else config
    section[name] = 3 * section[name] + 1
    changed = {
      other
      for other, found in options(config)
      if resolved(found) != resolved(before[other])
    }
    assert changed == {path}


@pytest.mark.parametrize('module, variant', VARIANTS)
def test_no_two_sections_are_one(module, variant):
  """Else an option of one would be set in both."""
  config = importlib.import_module(f'configs.{module}').get_config(variant)
  found = list(sections(config))
  assert len({id(section) for section in found}) == len(found)


@pytest.mark.parametrize('batch_size', [1, 5000])
def test_the_batch_may_be_of_any_size(batch_size):
  option = f'--config.data.batch_size={batch_size}'
  for module in EPOCHS:
    config = parse(module, *[v for m, v in VARIANTS if m == module][:1], option)
    for path, found in options(config):
      if path.endswith('every_steps') or path == 'num_steps':
        assert resolved(found) >= 1, (module, path)


def test_an_epoch_has_a_step_where_a_batch_is_more_than_the_set():
  config = parse('paca_vit.mnist5k', 'demo', '--config.data.batch_size=5000')
  assert config.num_steps == 40
  assert config.checkpoint.every_steps == 5

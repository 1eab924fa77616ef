"""The ranges of options: every config keeps to them, nonsense does not."""

import importlib

import pytest

from configs import schema
from configs.paca_vit import imagenet
from configs.perceiver_io import optical_flow
from tests.test_configs import all_synthetic, every_variant
from train_lib import run_files


@every_variant
def test_every_config_keeps_to_the_rules(module, variant):
  config = importlib.import_module(module).get_config(variant)
  schema.check(config)  # as train.py does, before anything is derived
  schema.check(run_files.derived(all_synthetic(config))[0])


@every_variant
def test_every_number_and_choice_has_a_rule(module, variant):
  """Else whoever adds an option forgets to say what it may be."""
  missing = set()
  config = importlib.import_module(module).get_config(variant)
  for path, value in schema.options(config):
    values = value if isinstance(value, tuple) else (value,)
    numbers = [
      x
      for x in values
      if isinstance(x, int | float) and not isinstance(x, bool)
    ]
    if numbers and schema.rule_of(path) is None:
      missing.add(path)
  assert not missing


# What people type: the option, what, and a part of what they are told.
WRONG = [
  ('num_steps', 0, 'a whole number from 1'),
  ('num_steps', -5, 'a whole number from 1'),
  ('log_every_steps', 0, 'a whole number from 1'),
  ('seed', -1, 'from 0 to 4.29497e\\+09'),
  ('data.batch_size', 0, 'a whole number from 1'),
  ('data.num_threads', -1, 'from 0'),
  ('data.source', 'tfds', "one of 'real', 'synthetic'"),
  ('data.module', 'data.images.imagenett', "a module's dotted name"),
  ('data.preprocess.image_size', -224, 'from 1'),
  ('data.preprocess.augment.prob', 1.5, 'from 0 to 1'),
  ('evals.validation.every_steps', 0, 'from 1'),
  ('evals.validation.module', 'train_lib.evaluat', "a module's dotted name"),
  ('task.module', 'paca_vit.tasks.clasification', "a module's dotted name"),
  ('task.label_smoothing', 1.0, 'from 0 below 1'),
  ('task.label_smoothing', -0.1, 'from 0 below 1'),
  ('task.mixing.mixup_alpha', -1.0, 'from 0'),
  ('task.mixing.switch_prob', 2.0, 'from 0 to 1'),
  ('optim.name', 'sgd', "one of 'adamw', 'lamb'"),
  ('optim.b1', 1.0, 'from 0 below 1'),
  ('optim.b2', 2.0, 'from 0 below 1'),
  ('optim.eps', 0.0, 'above 0'),
  ('optim.weight_decay', -0.1, 'from 0'),
  ('optim.clip_norm', -1.0, 'above 0'),
  ('optim.ema_decay', 2.0, 'above 0 below 1'),
  ('optim.num_microbatches', 0, 'from 1'),
  ('optim.decay_exclude', ('bias$', '('), 'a regular expression'),
  ('optim.lr_multipliers', (('(', 1.0),), 'a regular expression'),
  ('optim.lr_multipliers', (('head', -1.0),), 'from 0'),
  ('optim.schedule.lr', -0.01, 'above 0'),
  ('optim.schedule.lr', 0.0, 'above 0'),
  ('optim.schedule.lr', float('nan'), 'above 0'),
  ('optim.schedule.lr', float('inf'), 'above 0'),
  ('optim.schedule.end_lr', -1e-6, 'from 0'),
  ('optim.schedule.warmup_steps', -5, 'from 0'),
  ('optim.schedule.decay', 'linear', "'cosine'"),
  ('optim.schedule.update_every_steps', 0, 'from 1'),
  ('checkpoint.keep_last', 0, 'from 1'),
  ('checkpoint.keep_last', -1, 'from 1'),
  ('checkpoint.every_steps', 0, 'from 1'),
  ('checkpoint.best_mode', 'maximum', "one of 'max', 'min'"),
  ('checkpoint.best_metric', 'validaton/accuracy', 'of one of'),
  ('sharding', (('(', 'fsdp'),), 'a regular expression'),
  ('sharding', ('fsdp',), 'a regular expression|expected'),
  ('mesh.data', 0, 'or -1'),
  ('mesh.fsdp', -2, 'or -1'),
  ('model.dtype', 'bflot16', "'bfloat16'"),
  ('model.num_classes', 0, 'from 1'),
  ('model.channels', (96, 0, 320, 384), 'from 1'),
  ('model.drop_path_rate', 1.0, 'below 1'),
  ('model.num_heads', (2, -4, 8, 16), 'from 1'),
  ('init_from.exclude', ('*',), 'a regular expression'),
]


@pytest.mark.parametrize('path, value, expected', WRONG)
def test_nonsense_is_named(path, value, expected):
  config = imagenet.get_config()
  with config.unlocked():
    section, _, name = path.rpartition('.')
    place = config
    for key in section.split('.') if section else ():
      place = place[key]
    with place.ignore_type():
      place[name] = value
  with pytest.raises(ValueError, match=rf'^config\.{path}: found .*{expected}'):
    schema.check(config)


def test_options_that_may_be_left_out():
  config = optical_flow.get_config()
  assert config.optim.clip_norm is None and config.model.dtype is None
  schema.check(config)
  config.update(optim=dict(clip_norm=1.0), model=dict(dtype='bfloat16'))
  schema.check(config)


def test_a_module_that_exists_is_found():
  assert importlib.util.find_spec('data.images.imagenet')
  assert schema.MODULE.holds('data.images.imagenet')
  assert not schema.MODULE.holds('data.images.nothing')
  assert not schema.MODULE.holds('nowhere.at.all')
  assert not schema.MODULE.holds('')

"""Sections that are off are switched on by one of their options."""

import importlib
import sys
from unittest import mock

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from configs import common
from configs.paca_vit import finetune
from tests import test_configs
from train_lib import options, sections

EACH = [
  (module, variant)
  for module in test_configs.config_modules()
  for variant in module.VARIANTS
]


def make():
  config = ml_collections.ConfigDict()
  config.task = dict(mixing=common.off(alpha=0.8, num=2, on=True), name='a')
  return config


def test_one_option_makes_the_section():
  words = ['train.py', '--config.task.mixing.alpha=1', '--config.task.name=b']
  assert sections.switched_on(words, make()) == [
    'train.py',
    '--config.task.name=b',
    "--config.task.mixing={'alpha': 1.0, 'num': 2, 'on': True}",
  ]
  both = [*words, '--config.task.mixing.on=false']
  assert sections.switched_on(both, make())[-1].endswith("'on': False}")
  assert sections.switched_on(['--config.task.mixing=None'], make()) == [
    '--config.task.mixing=None'
  ]


@pytest.mark.parametrize(
  'option, message',
  [
    (
      'beta=1',
      r"task.mixing is off and has no option 'beta'; .*'alpha', 'num'",
    ),
    ('num=1.5', r"mixing.num: expected int, such as 2; found '1.5'"),
    ('alpha=much', r"mixing.alpha: expected float, such as 0.8; found 'much'"),
    ('on=1', r"mixing.on: expected bool, such as True; found '1'"),
  ],
)
def test_what_it_has_not(option, message):
  with pytest.raises(ValueError, match=message):
    sections.switched_on([f'--config.task.mixing.{option}'], make())


def test_the_flag_of_configs_takes_it():
  values = flags.FlagValues()
  config_flags.DEFINE_config_file('config', flag_values=values)
  command = [
    'train.py',
    f'--config={finetune.__file__}:tiny',
    '--config.task.mixing.mixup_alpha=0.3',
  ]
  command = sections.switched_on(command, finetune.get_config('tiny'))
  with mock.patch.object(sys, 'argv', command):
    values(command)
  expected = {**common.MIXING, 'mixup_alpha': 0.3}
  assert values.config.task.mixing.to_dict() == expected


@pytest.mark.parametrize('module, variant', EACH)
def test_all_that_are_off_know_what_they_would_be(module, variant):
  def look(config, path):
    for name, value in config.items():
      if isinstance(value, ml_collections.ConfigDict):
        look(value, f'{path}{name}.')
      elif value is None and config.get_type(name) is ml_collections.ConfigDict:
        assert sections.when_on(config, name), f'{path}{name}'

  look(module.get_config(variant), '')


def test_print_config_says_what_they_would_be():
  lines = list(options.describe(finetune.get_config('tiny'), lambda path: ''))
  (line,) = [x for x in lines if x.startswith('--config.task.mixing=')]
  assert (
    "off, or with --config.task.mixing.<option> {'mixup_alpha': 0.8" in line
  )


def test_a_near_miss_names_a_section(capsys):
  runtime = importlib.import_module('train_lib.runtime')
  words = [
    'train.py',
    f'--config={finetune.__file__}:tiny',
    '--config.schedul.lr=1',
  ]
  with mock.patch.object(sys, 'argv', words):
    found = runtime._elsewhere('schedul', words)
  assert found == '; there is --config.optim.schedule.'

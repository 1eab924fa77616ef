"""What --print_config tells of options."""

import pytest

from configs import schema
from configs.perceiver_io import arrays, masked_language_modelling
from train_lib import options


@pytest.fixture(scope='module')
def lines():
  return list(options.describe(arrays.get_config('tiny'), schema.expected))


def line_of(lines, option):
  """(the option's line, what it means or None)"""
  (i,) = [i for i, x in enumerate(lines) if x.startswith(f'--config.{option}=')]
  after = lines[i + 1] if i + 1 < len(lines) else ''
  return lines[i], ' '.join(after.split()) if after.startswith(' ') else None


def test_value_range_and_meaning(lines):
  shown, meaning = line_of(lines, 'data.preprocess.shift')
  assert shown == '--config.data.preprocess.shift=0.0   (a number from 0)'
  assert meaning.startswith('the most that all coordinates of an example')
  assert meaning.endswith('of a range of 2.')
  assert line_of(lines, 'data.batch_size') == (
    '--config.data.batch_size=8   (a whole number from 1)',
    'examples in a batch of all processes together.',
  )
  assert 'trained' not in (line_of(lines, 'derive.min_steps')[1] or '')


def test_what_is_derived_is_said(lines):
  assert 'from the data' in line_of(lines, 'num_steps')[0]
  config = masked_language_modelling.get_config('tiny')
  lines = list(options.describe(config, schema.expected))
  assert line_of(lines, 'model.dtype')[0].startswith(
    '--config.model.dtype=None '
  )


def test_every_option_has_its_line(lines):
  config = arrays.get_config('tiny')
  paths = {path for path, _ in schema.options(config)}
  found = {
    x.removeprefix('--config.').partition('=')[0]
    for x in lines
    if x.startswith('--config.')
  }
  assert paths <= found

"""Errors of a section are named, those that name themselves stay."""

import pytest

from train_lib import checks


@pytest.mark.parametrize(
  'error, message',
  [
    (ValueError('num_heads: 3 do not.\nMore'), 'num_heads: 3 do not. More'),
    (TypeError(''), 'TypeError'),
    (ValueError('x' * 1000), 'x' * 400 + ' ...'),
    (KeyError('kind'), 'found no option kind; expected one.'),
    (IndexError('out of range'), 'IndexError: out of range'),
    (OSError(2, 'No such file', '/x'), 'No such file'),
  ],
)
def test_the_section_is_named(error, message):
  with pytest.raises(checks.ConfigError, match='^config.model: ') as found:
    with checks.naming('config.model'):
      raise error
  assert message in str(found.value) and '\n' not in str(found.value)
  assert found.value.__cause__ is error


@pytest.mark.parametrize('text', ['config.mesh: found 3.', '--workdir: none'])
def test_what_names_its_option_stays(text):
  with pytest.raises(ValueError, match=f'^{text}') as found:
    with checks.naming('config.model'):
      raise ValueError(text)
  assert not isinstance(found.value, checks.ConfigError)

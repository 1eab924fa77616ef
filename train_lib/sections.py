"""Sections of a config that are off, None, and become some by --config.

A config says what such a section is when it is on, see `configs.common.off`:

  --config.task.mixing.mixup_alpha=0.2

makes it that, with another mixup_alpha.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_collections

_OPTION = re.compile(r'--?config\.([\w.]+)=(.*)', re.S)


def switched_on(
  argv: Sequence[str], config: ml_collections.ConfigDict
) -> list[str]:
  """A command line in which such options are one, of their whole section.

  Args:
    argv: the command line.
    config: of --config, as it stands in its file.

  Raises:
    ValueError: naming an option that the section does not have, or whose value
      is none.
  """
  on, rest = {}, []
  for argument in argv:
    match = _OPTION.fullmatch(argument)
    found = _section_of(config, match[1]) if match else None
    if found is None:
      rest.append(argument)
      continue
    path, name, section = found
    values = on.setdefault(path, dict(section))
    if name not in values:
      raise ValueError(
        f'--config.{path} is off and has no option {name!r}; expected one of '
        f'{list(values)}.'
      )
    values[name] = _parsed(match[0], match[2], section[name])
  return rest + [f'--config.{path}={values}' for path, values in on.items()]


def when_on(
  config: ml_collections.ConfigDict, name: str
) -> Mapping[str, Any] | None:
  """What a section that is off would be; None if it is none."""
  if config[name] is not None:
    return None
  return getattr(config.get_ref(name), 'section', None)


def _section_of(config, path: str) -> tuple[str, str, Mapping] | None:
  """(path of a section that is off, option in it, what it would be)"""
  for place, section, name in _walk(config, path.split('.')):
    found = when_on(section, name)
    if found is not None and len(place) < len(path):
      return place, path[len(place) + 1 :], found
  return None


def _walk(config, keys: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
  """(path so far, the section it is in, its last name), as far as it goes."""
  for i, key in enumerate(keys):
    if not isinstance(config, ml_collections.ConfigDict) or key not in config:
      return
    yield '.'.join(keys[: i + 1]), config, key
    config = config[key]


def _parsed(argument: str, text: str, like: Any) -> Any:
  """A value of the type of another one."""
  option = argument.partition('=')[0]
  try:
    value = ast.literal_eval(
      text.capitalize() if text in ('true', 'false') else text
    )
  except (SyntaxError, ValueError):
    value = text
  if isinstance(like, float) and type(value) is int:
    value = float(value)
  if type(value) is not type(like):
    raise ValueError(
      f'{option}: expected {type(like).__name__}, such as {like}; found '
      f'{text!r}.'
    )
  return value

"""What options a config has, what they are and what they mean.

Meanings are read where the options are read: an entry `name: ...` in the
docstring of the data module's `preprocess`, of the task and so on.
"""

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections

from train_lib import optim, pipeline, run_files, sections

_ENTRY = re.compile(r'^\s+((?:\w+, )*\w+)(?: \[[^\]]*\])?: (.*)$')
_WIDTH, _LONGEST = 72, 240  # letters


def describe(
  config: ml_collections.ConfigDict, expected: Callable[[str], str]
) -> Iterator[str]:
  """A line for each option, and below it what it means, if it is told.

  Args:
    config: to describe.
    expected: path of an option -> what it may be, or ''.
  """
  for path, value in _leaves(config):
    may_be = expected(path)
    shown = repr(value)
    if value is None and 'derive' in config:
      shown = 'None: from the data, or off'
    section, _, name = path.rpartition('.')
    on = sections.when_on(_at(config, section), name)
    if on is not None:
      shown = f'None: off, or with --config.{path}.<option> {dict(on)}'
    yield f'--config.{path}={shown}' + (f'   ({may_be})' if may_be else '')
    meaning = _meaning(config, path)
    if meaning:
      short = textwrap.shorten(meaning, _LONGEST, placeholder=' ...')
      yield textwrap.indent(textwrap.fill(short, _WIDTH), '    ')


def _at(config, path: str) -> ml_collections.ConfigDict:
  for key in filter(None, path.split('.')):
    config = config[key]
  return config


def _leaves(config, path='') -> Iterator[tuple[str, Any]]:
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict) and len(value):
      yield from _leaves(value, f'{path}{name}.')
    else:
      yield f'{path}{name}', value


def _meaning(config, path: str) -> str:
  section, _, name = path.rpartition('.')
  for reader in _readers(config, section):
    found = _entries(inspect.getdoc(reader) or '').get(name)
    if found:
      return found
  return ''


def _readers(config, section: str) -> list[Any]:
  """What has docstrings that may tell of a section's options."""
  if section == 'data':
    return [pipeline]
  if section == 'derive':
    return [run_files.derived]
  if section == 'optim':
    return [optim.make_optimizer]
  if section == 'optim.schedule':
    return [optim.make_schedule]
  if section == 'data.preprocess':
    return [importlib.import_module(config.data.module).preprocess]
  if section.partition('.')[0] in ('task', 'model'):
    module = importlib.import_module(config.task.module)
    classes = (x for x in vars(module).values() if inspect.isclass(x))
    own = [x for x in classes if x.__module__ == module.__name__]
    return [module.make_task, *own]
  return []


def _entries(text: str) -> dict[str, str]:
  """name -> what stands after `name: ` or `name, other: ` in a docstring."""
  found, names, indent = {}, (), 0
  for line in text.splitlines():
    entry = _ENTRY.match(line)
    depth = len(line) - len(line.lstrip())
    if entry and (not names or depth <= indent):
      names, indent = tuple(entry[1].split(', ')), depth
      for name in names:
        found.setdefault(name, entry[2])
    elif names and line.strip() and depth > indent:
      for name in names:
        found[name] += ' ' + line.strip()
    else:
      names = ()
  return found

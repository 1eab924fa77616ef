"""Options as nobody should set them: of every option of three configs."""

import importlib
import random
from collections.abc import Iterator
from typing import Any

from configs import schema

_SYNTHETIC = '--config.data.source=synthetic'
# Config -> the options that it takes to try it here.
CONFIGS = {
  'paca_vit/mnist5k.py:tiny': (),
  'paca_vit/imagenet.py:tiny_p2cconv_100_0': (
    _SYNTHETIC,
    '--config.model.depths=(1,1,1,1)',
  ),
  'perceiver_io/masked_language_modelling.py:tiny': (_SYNTHETIC,),
}
_NUMBERS = 'abc', '', 'nan', 'inf', '-inf', '-1', '-0.5', '(1,)', '1e', '1,5'
_WHOLE = *_NUMBERS, '1.5', '1_', '0x'
# Where what is below zero is meant: the rest of a mesh, a shift, a size's log.
_ANY_SIGN = 'mesh.', 'log_scale', 'shift'


def mutations(
  config: str, rng: random.Random
) -> Iterator[tuple[str, str, bool]]:
  """(option as typed, value, whether it may fit), in an order that rng decides.

  Every option comes once before any comes twice, so that a part of them all is
  of every option.

  Args:
    config: one of CONFIGS.
    rng: decides where a name is misspelt, too.
  """
  file, _, variant = config.partition(':')
  module = importlib.import_module(
    'configs.' + file.removesuffix('.py').replace('/', '.')
  )
  found = []
  made_up = _SYNTHETIC in CONFIGS[config]
  for path, value in schema.options(module.get_config(variant)):
    if made_up and path.endswith(('split', 'data_dir')):
      continue  # Made-up examples are the same, whatever these say.
    of_option = [(path, wrong, False) for wrong in _wrong(path, value, rng)]
    of_option.append((_misspelt(path, rng), str(value), False))
    of_option += [(path, changed, True) for changed in changes(path, value)]
    rng.shuffle(of_option)
    found += enumerate(of_option)
  rng.shuffle(found)
  for _, mutation in sorted(found, key=lambda x: x[0]):
    yield mutation


def _wrong(path: str, value: Any, rng: random.Random) -> list[str]:
  """Values that an option cannot have been meant to have."""
  if isinstance(value, bool):
    return ['maybe', '2', '', 'Tru']
  if isinstance(value, int | float):
    signed = any(name in path for name in _ANY_SIGN)
    values = _WHOLE if isinstance(value, int) else _NUMBERS
    return [x for x in values if not (signed and x in ('-1', '-0.5'))]
  if isinstance(value, str) and value:
    none_is_fine = path == 'checkpoint.best_metric'
    return [_misspelt(value, rng), value + ' ', *([] if none_is_fine else [''])]
  if isinstance(value, tuple) and value:
    texts = [] if isinstance(value[0], str) else ['abc', '1']
    return [*map(str, _wrong_tuples(value)), *texts, '(']
  if isinstance(value, tuple):
    return ['("(",)', '(1,)']
  if path == 'init_from.path' or path.endswith('data_dir'):
    return ['/proc/nowhere']
  if value is None and (rule := schema.rule_of(path)) is not None:
    return [x for x in ('-1', 'abc', 'nan') if not rule.holds(x)]
  return []  # A free text; anything may be meant.


def changes(path: str, value: Any) -> list[str]:
  """Values that may fit or not: what does not is to be said clearly."""
  if isinstance(value, bool):
    return [str(not value)]
  if isinstance(value, int):
    return [str(x) for x in (0, 1, value + 1, 7, 3 * value, 10**7)]
  if isinstance(value, float):
    return [str(x) for x in (0.0, 1.0, value / 3, 7 * value, 1e30)]
  if isinstance(value, tuple) and all(isinstance(x, int) for x in value):
    return [str(x) for x in (value[:-1], value + value[:1], (3,) * len(value))]
  return []


def _wrong_tuples(value: tuple) -> Iterator[tuple]:
  first, *rest = value
  if isinstance(first, tuple):  # Rules: an expression, and what is done.
    yield (('(', *first[1:]), *rest)
    yield ((first[0],), 7)
  elif isinstance(first, str):
    yield ('(', *rest)
    yield (1, *rest)
  else:
    yield (-first - 1, *rest)
    yield ('a', *rest)
    yield (None, *rest)
    yield (*value, *value)


def _misspelt(name: str, rng: random.Random) -> str:
  """A name without one of its letters."""
  head, dot, last = name.rpartition('.')
  at = rng.randrange(len(last))
  return head + dot + last[:at] + last[at + 1 :]

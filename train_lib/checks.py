"""Checks before work starts, and errors that say of what they are."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

PyTree = Any

_LONGEST = 400  # characters of an error that are shown
_QUOTES = '\'"'
# Key of integer labels -> (number of classes, what is ignored or None).
LabelRanges = Mapping[str, tuple[int, int | None]]


def program() -> str:
  """As it was started: `train.py`, or `tools.export` after `python -m`."""
  spec = sys.modules['__main__'].__spec__
  if spec is None:
    return os.path.basename(sys.argv[0])
  return spec.name.removesuffix('.__main__')


class ConfigError(ValueError):
  """Nothing can be built of a section; the cause is what was raised there."""


@contextlib.contextmanager
def naming(section: str) -> Iterator[None]:
  """What goes wrong inside is said to be of a section, such as config.model.

  Errors that name an option themselves stay as they are.

  Raises:
    ConfigError: in the place of any other error of the code inside.
  """
  try:
    yield
  except (ArithmeticError, AttributeError, LookupError) as e:
    text = f'{type(e).__name__}: {_in_a_line(e)}'
    if re.fullmatch(r'["\']+\w+["\']+', _in_a_line(e)):  # of a ConfigDict
      text = f'found no option {_in_a_line(e).strip(_QUOTES)}; expected one.'
    raise ConfigError(f'{section}: {text}') from e
  except (AssertionError, ImportError, OSError, TypeError, ValueError) as e:
    if str(e).startswith(('config.', '--')):
      raise
    raise ConfigError(f'{section}: {_in_a_line(e)}') from e


def _in_a_line(error: Exception) -> str:
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= _LONGEST else f'{text[:_LONGEST]} ...'


class ExampleError(ValueError):
  """An example cannot be used; says of which data set, which and its file."""


def checked(
  source: Sequence[Any],
  preprocess: Callable[..., PyTree],
  data_config: ml_collections.ConfigDict,
  label_ranges: LabelRanges | None,
) -> Callable[..., PyTree]:
  """(index, ...) -> preprocess(source[index], ...), whose errors say where.

  The function raises ExampleError for whatever goes wrong with an example, also
  for labels out of range.
  """
  where = f'{data_config.module}, split {data_config.split!r}'
  label_ranges = label_ranges or {}

  def prepare(index: int, **options):
    raw = None
    try:
      raw = source[index]
      example = preprocess(raw, **options)
      for name, (num_classes, ignored) in label_ranges.items():
        _check_labels(example[name], num_classes, ignored)
      return example
    except Exception as e:
      text = str(e) if isinstance(e, ValueError) else f'{type(e).__name__}: {e}'
      raise ExampleError(
        f'{where}, example {index}{_file_name(raw)}: {text}'
      ) from e

  return prepare


def _check_labels(labels, num_classes: int, ignored: int | None) -> None:
  labels = np.asarray(labels)
  if not np.issubdtype(labels.dtype, np.integer):
    return  # Shares of classes.
  wrong = labels[(labels < 0) | (labels >= num_classes)]
  wrong = np.unique(wrong[wrong != ignored] if ignored is not None else wrong)
  if wrong.size:
    also = '' if ignored is None else f' or {ignored} (ignored)'
    raise ValueError(
      f'expected labels from 0 to {num_classes - 1}{also}, found '
      f"{wrong[:5].tolist()}; the model's num_classes or vocab_size is "
      f'{num_classes}.'
    )


def _file_name(raw: Any) -> str:
  """What a raw example says of the file that it is of."""
  if isinstance(raw, Mapping):
    for key in ('file_name', 'name', 'image'):
      value = raw.get(key)
      if isinstance(value, bytes) and key != 'image':
        value = value.decode(errors='replace')
      if isinstance(value, str | os.PathLike):
        return f' ({os.fspath(value)})'
  return ''

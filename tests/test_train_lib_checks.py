"""Examples that a run cannot use are named, and the sections of errors."""

import sys
import types

import numpy as np
import pytest

from data.images import digits
from tests.test_train_lib_pipeline import config, sharding
from train_lib import checks, pipeline


def label_module(monkeypatch, *labels):
  """A data set of files with these labels."""
  examples = [
    {'file_name': f'{i}.jpg'.encode(), 'label': label}
    for i, label in enumerate(labels)
  ]

  def prepare(example, *, train, rng):
    if example['label'] is None:
      raise OSError('half a file')
    return {'label': np.asarray(example['label'])}

  monkeypatch.setattr(digits, 'synthetic', lambda split: examples)
  monkeypatch.setattr(digits, 'preprocess', prepare)


def first_label(labels):
  ranges = {'label': labels}
  settings = config(batch_size=1, num_threads=0)
  for batches in (
    pipeline.make_train_iterator(
      settings, seed=0, sharding=sharding(), label_ranges=ranges
    ),
    pipeline.make_eval_batches(
      settings, sharding=sharding(), label_ranges=ranges
    ),
  ):
    batch = next(iter(batches))
  return np.asarray(batch['label'])


@pytest.mark.parametrize(
  'label, labels, message',
  [
    (-1, (3, None), r'from 0 to 2, found \[-1\]'),
    (3, (3, None), r'from 0 to 2, found \[3\]'),
    (255, (3, None), r'found \[255\]'),
    ([[0, 7], [255, 1]], (3, 255), r'0 to 2 or 255 .ignored., found \[7\]'),
    (None, (3, None), 'OSError: half a file'),
  ],
)
def test_example_that_cannot_be_used_is_named(
  monkeypatch, label, labels, message
):
  label_module(monkeypatch, label)
  where = r"data.images.digits, split 'train', example 0 \(0\.jpg\): "
  with pytest.raises(checks.ExampleError, match=f'^{where}.*{message}'):
    first_label(labels)


def test_labels_in_range_and_shares_of_classes_pass(monkeypatch):
  label_module(monkeypatch, 2)
  assert first_label((3, None)) == 2
  label_module(monkeypatch, [[255, 0]])
  assert (first_label((3, 255)) == [[[255, 0]]]).all()
  label_module(monkeypatch, np.float32([-1, 9.5]))
  assert (first_label((2, None)) == [[-1, 9.5]]).all()


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


@pytest.mark.parametrize(
  'module, expected',
  [
    (None, 'train.py'),
    ('tools.zoo', 'tools.zoo'),
    ('tools.export.__main__', 'tools.export'),
  ],
)
def test_a_program_is_called_as_it_was_started(module, expected, monkeypatch):
  spec = module and types.SimpleNamespace(name=module)
  main = types.SimpleNamespace(__spec__=spec)
  monkeypatch.setitem(sys.modules, '__main__', main)
  monkeypatch.setattr(sys, 'argv', ['/a/train.py'])
  assert checks.program() == expected

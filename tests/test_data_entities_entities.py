"""Dumps of entities and actions: read, refused with reasons, padded."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.entities import entities


def dump(folder, name='game', **changes):
  """Two steps of three and two entities; garbage where there is none."""
  arrays = {
    'num_entities': np.array([3, 2]),
    'categories': np.arange(12).reshape(2, 3, 2),
    'numbers': np.linspace(0, 1, 6).reshape(2, 3, 1),
    'selected': np.array([[True, False, True], [False, True, True]]),
    'target_entity': np.array([2, -1]),
    'target_location': np.array([-1, 5]),
  } | changes
  folder.mkdir(parents=True, exist_ok=True)
  np.savez(folder / f'{name}.npz', **arrays)
  return arrays


def test_dumps_are_prepared_as_they_are(tmp_path):
  arrays = dump(tmp_path / 'dumps' / 'train')
  dump(tmp_path / 'dumps' / 'test', numbers=np.full((2, 3, 1), 7.0))
  builder = entities.Entities(
    data_dir=tmp_path / 'data', file_format='array_record'
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=tmp_path / 'dumps')
  )
  steps = list(entities.source('train', str(tmp_path / 'data')))
  steps.sort(key=lambda step: -len(step['selected']))
  for i, (step, count) in enumerate(zip(steps, (3, 2), strict=True)):
    for name in ('categories', 'numbers', 'selected'):
      np.testing.assert_array_equal(
        step[name], arrays[name][i, :count].astype(step[name].dtype)
      )
    assert step['target_entity'] == arrays['target_entity'][i]
    assert step['target_location'] == arrays['target_location'][i]
    assert step.keys() == entities.synthetic('train')[0].keys()
    for name, x in entities.synthetic('train')[0].items():
      assert np.asarray(x).dtype.kind == np.asarray(step[name]).dtype.kind, name
  assert entities.source('test', str(tmp_path / 'data'))[0]['numbers'][0] == 7


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'numbers': np.zeros((2, 3, 1), int)},
      r'numbers: found int64 \(2, 3, 1\)',
    ),
    ({'selected': np.zeros((3, 3), bool)}, r'selected: found bool \(3, 3\)'),
    ({'num_entities': np.array([3, 4])}, 'at most 4'),
    ({'target_entity': np.array([2, 2])}, 'found 2 in step 1, .* 2 entities'),
  ],
)
def test_other_dumps_are_refused_by_name(tmp_path, changes, message):
  dump(tmp_path, **changes)
  with pytest.raises(ValueError, match=message) as e:
    list(entities.read_steps(tmp_path / 'game.npz'))
  assert str(tmp_path / 'game.npz') in str(e.value)


def test_missing_arrays_and_folders_are_named(tmp_path):
  np.savez(tmp_path / 'game.npz', numbers=np.zeros(3))
  with pytest.raises(ValueError, match="expected also .*'categories'"):
    list(entities.read_steps(tmp_path / 'game.npz'))
  with pytest.raises(FileNotFoundError, match='data.prepare entities.entities'):
    entities.source('train', str(tmp_path))


def preprocess(**changes):
  example = {
    'categories': np.array([[1, 0], [3, 2]], np.int32),
    'numbers': np.array([[0.5], [0.25]], np.float32),
    'selected': np.array([False, True]),
    'target_entity': np.int32(-1),
    'target_location': np.int32(-1),
  } | changes
  return entities.preprocess(
    example, train=True, rng=None, max_entities=4, vocab_sizes=(4, 3)
  )


def test_padding_and_targets():
  out = preprocess()
  np.testing.assert_array_equal(
    out['categories'], [[1, 0], [3, 2], [0, 0], [0, 0]]
  )
  np.testing.assert_array_equal(out['numbers'][:, 0], [0.5, 0.25, 0, 0])
  np.testing.assert_array_equal(out['entity_mask'], [1, 1, 0, 0])
  np.testing.assert_array_equal(out['selected'], [0, 1, 0, 0])
  assert out['target'] == -1
  assert preprocess(target_entity=np.int32(1))['target'] == 1
  # Locations are counted after all entities that there may be.
  assert preprocess(target_location=np.int32(6))['target'] == 4 + 6


def test_what_does_not_fit_is_named():
  many = {
    'categories': np.zeros((5, 2), np.int32),
    'numbers': np.zeros((5, 1), np.float32),
    'selected': np.zeros(5, bool),
  }
  with pytest.raises(ValueError, match='found 5, expected at most .* = 4'):
    preprocess(**many)
  with pytest.raises(ValueError, match=r'up to \[4, 0\].* = \[4, 3\]'):
    preprocess(categories=np.array([[4, 0], [0, 0]], np.int32))

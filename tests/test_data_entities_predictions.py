"""Actions on entities, from archives and from positions of chess."""

import numpy as np
import pytest

from configs.perceiver_io import starcraft
from data.entities import entities, predictions


def test_chess_moves_are_seen_from_both_sides():
  chess = pytest.importorskip('chess')
  config = starcraft.get_config('chess')
  kind = predictions.make_predictions(config, None)
  for position, expected in (
    (chess.STARTING_FEN, 'e2e4'),
    # After e2e4: the same for Black, whose board is mirrored.
    ('rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1', 'e7e5'),
  ):
    example = kind.example(position)
    pieces = example['categories'][: int(example['entity_mask'].sum())]
    units = np.where(pieces[:, 1] == chess.E2, 3.0, 0.0)
    most = config.data.preprocess.max_entities
    output = {
      'mask': example['entity_mask'],
      'units': np.pad(units, (0, most - len(units)), constant_values=9),
      'targets': np.eye(most + 64)[most + chess.E4] * 20,
    }
    values, _ = kind.result(position, output)
    assert values['move'] == expected
    assert values['target_location'] == chess.E4
    share = np.exp(3) / (np.exp(3) + len(units) - 1)
    assert values['probability'] == pytest.approx(share, abs=1e-4)
  with pytest.raises(ValueError, match='no position'):
    kind.example('e4')


def test_archives_need_no_actions(tmp_path):
  config = starcraft.get_config('tiny')
  kind = predictions.make_predictions(config, None)
  steps = entities.synthetic('test', 2)
  counts = [len(x['categories']) for x in steps]
  arrays = {'num_entities': np.array(counts)}
  for name in ('categories', 'numbers'):
    shape = (2, max(counts), steps[0][name].shape[1])
    arrays[name] = np.zeros(shape, steps[0][name].dtype)
    for i, step in enumerate(steps):
      arrays[name][i, : counts[i]] = step[name]
  np.savez(tmp_path / 'games.npz', **arrays)
  found = kind.expand(str(tmp_path / 'games.npz'))
  assert str(found[1]) == str(tmp_path / 'games[1].npz')
  if config.data.module == 'data.entities.entities':
    example = kind.example(found[1])
    assert set(example) == {'categories', 'numbers', 'entity_mask'}
    assert example['entity_mask'].sum() == counts[1]
  np.savez(tmp_path / 'half.npz', num_entities=np.array(counts))
  with pytest.raises(
    ValueError, match="expected also .'categories', 'numbers'"
  ):
    kind.expand(str(tmp_path / 'half.npz'))

"""Chess positions from books and games, and what must be beaten on them."""

import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.entities import chess_openings, entities
from perceiver_io.evaluators import legal_moves

pytest.importorskip('chess')
import chess  # noqa: E402
import chess.polyglot  # noqa: E402

KING, ROOK, PAWN = 5, 3, 0
# Its last position belongs to the test split.
LINE = 'Nf3 Nf6 g3 g6 Bg2 Bg7 O-O O-O d4'


def write_book(path, lines):
  """A Polyglot book of (moves that lead to it, move, weight)."""
  entries = []
  for before, move, weight in lines:
    board = chess.Board()
    for san in before.split():
      board.push_san(san)
    move = board.parse_san(move)
    code = move.to_square | move.from_square << 6
    key = chess.polyglot.zobrist_hash(board)
    entries.append(struct.pack('>QHHI', key, code, weight, 0))
  path.write_bytes(b''.join(sorted(entries)))


def test_a_book_is_walked_from_the_first_position(tmp_path):
  path = tmp_path / 'book.bin'
  write_book(
    path,
    [
      ('', 'e4', 3),
      ('', 'd4', 5),
      ('e4', 'e5', 2),
      ('d4', 'd5', 1),
      ('e4 e5', 'Nf3', 1),
      ('c4', 'c5', 9),  # no move leads there
    ],
  )
  found = {
    (board.fen().split()[0], board.san(move), weight)
    for board, move, weight in chess_openings.book_moves(str(path))
  }
  assert {(san, weight) for _, san, weight in found} == {
    ('e4', 3),
    ('d4', 5),
    ('e5', 2),
    ('d5', 1),
    ('Nf3', 1),
  }


def test_prepared_examples(tmp_path, monkeypatch):
  sans = LINE.split()
  lines = [(' '.join(sans[:i]), san, 1) for i, san in enumerate(sans)]
  lines += [('', 'd4', 5), ('d4', 'd5', 1), ('e4', 'e5', 1), ('', 'e4', 1)]
  write_book(tmp_path / 'book.bin', lines)
  monkeypatch.setattr(chess_openings, 'BOOK', str(tmp_path / 'book.bin'))
  chess_openings.source.cache_clear()
  splits = [
    chess_openings.source(split, str(tmp_path)) for split in ('train', 'test')
  ]
  examples = sum(splits, [])
  assert [len(split) for split in splits] == [10, 1]
  moves = {chess_openings.move(e) for e in examples}
  square = chess.parse_square
  # At first d4 has the greatest weight; Black's replies are seen as White's.
  assert square('d2') * 64 + square('d4') in moves
  assert square('e2') * 64 + square('e4') in moves
  assert square('f8') * 64 + square('g7') not in moves
  for example in examples:
    assert len(example['selected']) == 32 and example['selected'].sum() == 1
    assert len(example['legal_moves']) >= 20
    assert chess_openings.move(example) in example['legal_moves']
    fake = chess_openings.synthetic('train')[0]
    assert fake.keys() == example.keys()
    for name, x in fake.items():
      assert np.asarray(x).dtype.kind == np.asarray(example[name]).dtype.kind, (
        name
      )


def test_positions_are_seen_from_the_side_to_move():
  fen = 'r3k2r/8/8/8/3pP3/8/8/4K3 b kq e3 0 1'
  board = chess.Board(fen)
  positions = chess_openings.collect(
    [
      (board, chess.Move.from_uci('d4e3'), 2),
      (board.mirror(), chess.Move.from_uci('d5e6'), 3),  # the same
      (board, chess.Move.from_uci('e8g8'), 4),
    ]
  )
  ((placement, (seen, weights)),) = positions.items()
  assert placement == '4k3/8/8/3Pp3/8/8/8/R3K2R'
  square = chess.parse_square
  assert weights[square('d5') * 64 + square('e6')] == 5
  assert weights[square('e1') * 64 + square('g1')] == 4
  example = chess_openings.encode(seen, square('d5') * 64 + square('e6'))
  assert example['categories'].tolist() == [
    [ROOK, square('a1'), 1],
    [KING, square('e1'), 0],
    [ROOK, square('h1'), 1],
    [PAWN, square('d5'), 0],
    [PAWN + 6, square('e5'), 2],
    [KING + 6, square('e8'), 0],
  ]
  assert example['selected'].tolist() == [0, 0, 0, 1, 0, 0]
  assert example['target_location'] == square('e6')
  np.testing.assert_allclose(
    example['numbers'][[0, 2, 5]], [[-1, -1], [1, -1], [1 / 7, 1]], atol=1e-6
  )
  assert square('e1') * 64 + square('c1') in example['legal_moves']
  assert square('d5') * 64 + square('c6') not in example['legal_moves']


def test_games(tmp_path):
  (tmp_path / 'a.pgn').write_text(f'{LINE} (e4) *\n\n1. Nf3 d5 *\n')
  builder = chess_openings.ChessGames(
    data_dir=tmp_path, file_format='array_record'
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=tmp_path)
  )
  chess_openings.source.cache_clear()
  sizes = {k: v.num_examples for k, v in builder.info.splits.items()}
  assert sizes == {'train': 8, 'test': 1}
  (example,) = chess_openings.source('pgn/test', str(tmp_path))
  square = chess.parse_square
  assert chess_openings.move(example) == square('d2') * 64 + square('d4')
  (tmp_path / 'a.pgn').write_text('1. e4 Ke6 *\n')
  with pytest.raises(ValueError, match='a.pgn: illegal san'):
    list(chess_openings.game_moves(tmp_path))


def test_what_is_missing_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='apt-get install gnuchess-book'):
    list(chess_openings.book_moves(str(tmp_path / 'book.bin')))
  with pytest.raises(FileNotFoundError, match=r'found no file .*\*\.pgn'):
    list(chess_openings.game_moves(tmp_path))


def test_baselines_by_hand():
  def example(move, legal):
    start, target = divmod(move, 64)
    return {
      'categories': np.array([[0, 9, 0], [0, start, 0]]),
      'selected': np.array([False, True]),
      'target_location': target,
      'legal_moves': np.array(legal),
    }

  fitted = [example(m, [m]) for m in (70, 70, 80, 80, 80, 90)]
  measured = [
    example(70, [70, 90]),  # 80 is not legal
    example(70, [70, 80, 90, 100]),
    example(5, [5, 6]),  # both unknown
    example(6, [5, 6]),
  ]
  found = legal_moves.accuracies(fitted, measured)
  assert found['random_accuracy'] == pytest.approx((3 / 2 + 1 / 4) / 4)
  assert found['frequent_accuracy'] == pytest.approx(2 / 4)


def test_synthetic_examples_pass_through_preprocessing():
  for example in chess_openings.synthetic('test'):
    out = entities.preprocess(
      example,
      train=False,
      rng=None,
      max_entities=32,
      vocab_sizes=chess_openings.VOCAB_SIZES,
    )
    assert out['selected'].sum() == 1 and out['target'] >= 32

"""Boards show the pieces, what was played, and what was predicted instead."""

import numpy as np
import pytest

pytest.importorskip('chess')
import chess  # noqa: E402
import chess.svg  # noqa: E402

from data.entities import chess_openings, entities  # noqa: E402
from perceiver_io.evaluators import chess_boards  # noqa: E402
from train_lib import pipeline  # noqa: E402


def positions(fen, *moves):
  """A batch of one board on which each of the moves was played."""
  board = chess.Board(fen)
  examples = [
    entities.preprocess(
      chess_openings.encode(board, move.from_square * 64 + move.to_square),
      train=False,
      rng=None,
      max_entities=32,
      vocab_sizes=chess_openings.VOCAB_SIZES,
    )
    for move in map(chess.Move.from_uci, moves)
  ]
  return board, pipeline.collate(examples)


def test_the_board_is_the_position_and_other_moves_are_blue(monkeypatch):
  board, batch = positions(chess.STARTING_FEN, 'e2e4', 'g1f3', 'd2d4')
  drawn = []
  draw = chess.svg.board
  monkeypatch.setattr(
    chess.svg,
    'board',
    lambda *args, **options: (
      drawn.append((args[0], options['arrows'])) or draw(*args, **options)
    ),
  )
  pieces = sorted(board.piece_map())
  units = [pieces.index(chess.E2), pieces.index(chess.G1), pieces.index(0)]
  # The last is a piece, as a target in StarCraft: a1 takes a8.
  targets = [32 + chess.E4, 32 + chess.H3, pieces.index(chess.A8)]
  svg = chess_boards.boards(batch, np.array(units), np.array(targets))
  for shown, _ in drawn:
    assert shown.board_fen() == board.board_fen()
  arrows = [[(a.tail, a.head, a.color) for a in arrows] for _, arrows in drawn]
  assert arrows == [
    [(chess.E2, chess.E4, 'green')],
    [(chess.G1, chess.F3, 'green'), (chess.G1, chess.H3, 'blue')],
    [(chess.D2, chess.D4, 'green'), (chess.A1, chess.A8, 'blue')],
  ]
  assert svg.count('<g transform') >= 3 and 'width="630"' in svg

"""Boards show the pieces, what was played, and what was predicted instead."""

import numpy as np
import pytest

pytest.importorskip('chess')
import chess  # noqa: E402

from data.entities import chess_openings, entities  # noqa: E402
from perceiver_io.evaluators import chess_boards  # noqa: E402
from train_lib import batch_layout, pictures  # noqa: E402


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
  return board, batch_layout.collate(examples)


LETTERS = '\u265f\u265e\u265d\u265c\u265b\u265a'


def shown_board(axis):
  """The board that an axis shows, from its letters and their colours."""
  board = chess.BaseBoard.empty()
  for text in axis.texts:
    if text.get_text():
      kind = LETTERS.index(text.get_text()) + 1
      color = chess.WHITE if text.get_color() == 'white' else chess.BLACK
      square = chess.square(*text.get_position())
      board.set_piece_at(square, chess.Piece(kind, color))
  return board


def shown_arrows(axis):
  return [
    (
      chess.square(*text.get_position()),
      chess.square(*text.xy),
      text.arrowprops['color'],
    )
    for text in axis.texts
    if not text.get_text()
  ]


def test_the_board_is_the_position_and_other_moves_are_blue():
  board, batch = positions(chess.STARTING_FEN, 'e2e4', 'g1f3', 'd2d4')
  pieces = sorted(board.piece_map())
  units = [pieces.index(chess.E2), pieces.index(chess.G1), pieces.index(0)]
  # The last is a piece, as a target in StarCraft: a1 takes a8.
  targets = [32 + chess.E4, 32 + chess.H3, pieces.index(chess.A8)]
  figure = chess_boards.boards(batch, np.array(units), np.array(targets))
  for axis in figure.axes:
    assert shown_board(axis).board_fen() == board.board_fen()
  assert [set(shown_arrows(axis)) for axis in figure.axes] == [
    {(chess.E2, chess.E4, 'tab:green')},
    {(chess.G1, chess.F3, 'tab:green'), (chess.G1, chess.H3, 'tab:blue')},
    {(chess.D2, chess.D4, 'tab:green'), (chess.A1, chess.A8, 'tab:blue')},
  ]
  # Three boards beside each other.
  picture = np.asarray(pictures.of_figure(figure))
  assert picture.shape[1] > 2 * picture.shape[0]


def test_squares_and_letters_have_two_colours():
  _, batch = positions('7k/8/8/8/8/8/8/K7 w - - 0 1', 'a1a2')
  figure = chess_boards.boards(batch, np.array([0]), np.array([32 + 8]))
  (axis,) = figure.axes
  (squares,) = axis.images
  dark, light = squares.get_array()[0, :2]
  assert dark.mean() < light.mean()  # a1 is dark
  assert [t.get_color() for t in axis.texts[:2]] == ['white', 'black']

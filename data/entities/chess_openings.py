"""Chess positions as sets of pieces, and the move that was played.

A real public set in the schema of `entities`: up to 32 pieces are the entities,
the piece that moves is the selected unit, its square the target location. All
is seen from the side to move: ranks are counted from its own, and its pieces
come first in the vocabulary.

Positions and moves are those of GNU Chess's opening book, which Debian ships
(https://packages.debian.org/gnuchess-book), walked from the first position on;
of several moves that of the greatest weight, which counts games:

  apt-get install gnuchess-book && pip install -e '.[chess]'

or, as splits 'pgn/train' and 'pgn/test', those of any games in PGN:

  python -m data.prepare entities.chess_openings --data_dir DIR \
      --manual_dir PGN_FOLDER

A tenth of the positions, by a checksum, is the test split. Positions that look
the same from the side to move are one, so that none is in both splits.
"""

import collections
import functools
import os
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import tfds_source
from data.entities import entities

preprocess = entities.preprocess
BOOK = '/usr/share/games/gnuchess/book.bin'
# Kinds of piece of both sides, squares, and whether a rook may castle or a
# pawn be taken en passant.
VOCAB_SIZES = (12, 64, 3)
_COMMAND = (
  'python -m data.prepare entities.chess_openings --data_dir DIR '
  '--manual_dir FOLDER'
)
# Placement and moves (from square * 64 + to square) with their weights.
_Positions = dict[str, tuple[Any, collections.Counter]]


class ChessOpenings(tfds.core.GeneratorBasedBuilder):
  """Writes the positions of the opening book."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'A tenth of the positions tests.'}

  def _info(self):
    return self.dataset_info_from_configs(
      description='Chess positions as sets of pieces, and moves.',
      features=tfds.features.FeaturesDict(
        {
          **entities.features(),
          'legal_moves': tfds.features.Tensor(shape=(None,), dtype=np.int32),
        }
      ),
      homepage='https://www.gnu.org/software/chess',
    )

  def _moves(self, dl_manager):
    """Yields (board, move, weight)."""
    del dl_manager
    return book_moves(BOOK)

  def _split_generators(self, dl_manager):
    positions = collect(self._moves(dl_manager))
    splits = {'train': [], 'test': []}
    for placement in sorted(positions):
      split = 'train' if zlib.crc32(placement.encode()) % 10 else 'test'
      splits[split].append(placement)
    return {
      split: self._generate_examples(positions, placements)
      for split, placements in splits.items()
    }

  def _generate_examples(self, positions, placements):
    for placement in placements:
      board, weights = positions[placement]
      move = min(weights, key=lambda move: (-weights[move], move))
      yield placement, encode(board, move)


class ChessGames(ChessOpenings):
  """Writes the positions of games in PGN."""

  MANUAL_DOWNLOAD_INSTRUCTIONS = 'A folder of *.pgn files.'

  def _moves(self, dl_manager):
    return game_moves(pathlib.Path(dl_manager.manual_dir))


def book_moves(path: str) -> Iterator[tuple[Any, Any, int]]:
  """(board, move, weight) of all that a book reaches from the first position.

  Args:
    path: a book in Polyglot's format, which knows positions by hashes alone.
  """
  # An optional extra, of no use to other data sets.
  import chess
  import chess.polyglot

  if not os.path.exists(path):
    raise FileNotFoundError(
      f'The data set is read from {path}, which does not exist; '
      '`apt-get install gnuchess-book` installs it.'
    )
  with chess.polyglot.open_reader(path) as book:
    first = chess.Board()
    boards, seen = [first], {chess.polyglot.zobrist_hash(first)}
    while boards:
      board = boards.pop()
      for entry in book.find_all(board):
        yield board, entry.move, entry.weight
        after = board.copy(stack=False)
        after.push(entry.move)
        key = chess.polyglot.zobrist_hash(after)
        if key not in seen:
          seen.add(key)
          boards.append(after)


def game_moves(folder: pathlib.Path) -> Iterator[tuple[Any, Any, int]]:
  """(board, move, 1) of all moves of the main lines of the games in *.pgn."""
  import chess.pgn

  paths = sorted(folder.glob('*.pgn'))
  if not paths:
    raise FileNotFoundError(f'manual_dir: found no file {folder}/*.pgn.')
  for path in paths:
    with open(path, encoding='utf-8', errors='replace') as file:
      while (game := chess.pgn.read_game(file)) is not None:
        if game.errors:
          raise ValueError(f'{path}: {game.errors[0]}')
        board = game.board()
        for move in game.mainline_moves():
          yield board.copy(stack=False), move, 1
          board.push(move)


def collect(moves) -> _Positions:
  """Sums weights by position, as the side to move sees it.

  Args:
    moves: (board, move, weight).

  Returns:
    Placement of the pieces -> (board, move -> weight).
  """
  import chess

  positions: _Positions = {}
  for board, move, weight in moves:
    squares = move.from_square, move.to_square
    if board.turn == chess.BLACK:
      board = board.mirror()
      squares = map(chess.square_mirror, squares)
    _, weights = positions.setdefault(
      board.board_fen(), (board, collections.Counter())
    )
    weights[_code(*squares)] += weight
  return positions


def encode(board: Any, move: int) -> dict[str, Any]:
  """The position of a board with White to move as an example."""
  import chess

  pieces = sorted(board.piece_map().items())
  taken = None
  if board.ep_square is not None:
    taken = board.ep_square - 8
  categories = [
    (
      piece.piece_type - 1 + 6 * (piece.color == chess.BLACK),
      square,
      2 if square == taken else bool(chess.BB_SQUARES[square] & castling),
    )
    for castling in [board.clean_castling_rights()]
    for square, piece in pieces
  ]
  squares = np.array([square for square, _ in pieces])
  start, target = divmod(move, 64)
  legal = {_code(m.from_square, m.to_square) for m in board.legal_moves}
  return {
    'categories': np.array(categories, np.int32),
    'numbers': np.stack([squares % 8, squares // 8], 1).astype('f') / 3.5 - 1,
    'selected': squares == start,
    'target_entity': -1,
    'target_location': target,
    'legal_moves': np.array(sorted(legal), np.int32),
  }


def read_text(position: str) -> dict[str, Any]:
  """A position in Forsyth-Edwards notation, as the side to move sees it."""
  import chess

  try:
    board = chess.Board(position)
  except ValueError as e:
    raise ValueError(f'{position!r}: no position ({e}).') from None
  return encode(board if board.turn == chess.WHITE else board.mirror(), 0)


def as_text(position: str, action: dict[str, int]) -> str:
  """The move in a position, such as 'e2e4'.

  Args:
    position: see `read_text`.
    action: unit, target_entity and target_location.
  """
  import chess

  squares = read_text(position)['categories'][:, 1]
  to = action['target_location']
  if action['target_entity'] >= 0:
    to = squares[action['target_entity']]
  move = [int(squares[action['unit']]), int(to)]
  if chess.Board(position).turn == chess.BLACK:
    move = [chess.square_mirror(square) for square in move]
  return ''.join(map(chess.square_name, move))


def _code(from_square: int, to_square: int) -> int:
  return from_square * 64 + to_square


def move(example: dict[str, Any]) -> int:
  """What was played, as a number like those of `legal_moves`."""
  start = example['categories'][np.argmax(example['selected']), 1]
  return _code(int(start), int(example['target_location']))


@functools.lru_cache  # training and the baselines read the same split
def source(split: str, data_dir: str | None) -> Sequence[dict[str, Any]]:
  """Examples of `entities`, and `legal_moves` int32 [any number].

  A move is from square * 64 + to square; promotions are not told apart. The
  book's examples, which take longer to decode than to train on, are in memory.
  """
  kind, _, part = split.rpartition('/')
  if kind == 'pgn':
    return tfds_source.open_prepared(
      'chess_games', part, data_dir, command=_COMMAND, decoders={}
    )
  return list(tfds_source.prepare_and_open(ChessOpenings, split, data_dir))


def synthetic(split: str, num_examples: int = 64) -> list[dict[str, Any]]:
  """Examples shaped like `source`'s: pieces and moves at random."""
  rng = np.random.default_rng(list(split.encode()))
  examples = []
  for _ in range(num_examples):
    count = int(rng.integers(4, 33))
    squares = rng.choice(64, count, replace=False)
    kinds, status = rng.integers(0, 12, count), rng.integers(0, 3, count)
    start, target = squares[0], int(rng.integers(64))
    moves = {_code(start, target), *rng.integers(0, 64 * 64, 20).tolist()}
    examples.append(
      {
        'categories': np.stack([kinds, squares, status], 1).astype(np.int32),
        'numbers': np.stack([squares % 8, squares // 8], 1).astype('f') / 3.5
        - 1,
        'selected': squares == start,
        'target_entity': np.int32(-1),
        'target_location': np.int32(target),
        'legal_moves': np.array(sorted(moves), np.int32),
      }
    )
  return examples


def main(argv: list[str]):
  args = tfds_source.preparation_parser(
    __name__, 'Prepares games of chess.', manual_dir='holds *.pgn'
  ).parse_args(argv)
  tfds_source.prepare(ChessGames, args)

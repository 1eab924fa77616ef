"""Draws a few positions with the move that was played and the predicted one.

The side to move is at the bottom. Green: played; blue: predicted, if it is
another.
"""

import pathlib
from typing import Any

import chess
import chess.svg
import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from train_lib import pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

_SIZE, _COLUMNS = 200, 4
_STEP = 210  # from board to board


def make_evaluator(
  config: ml_collections.ConfigDict, *, task: Task, mesh: Mesh, workdir: str
) -> 'ChessBoards':
  """Reads data, examples of `data.entities.chess_openings`, and num_boards."""
  examples = pipeline.few_examples(config.data, config.num_boards)
  folder = pathlib.Path(workdir) / 'boards'
  return ChessBoards(task, pipeline.collate(examples), mesh, folder)


class ChessBoards:
  """Writes `folder`/<step>.svg."""

  def __init__(self, task: Task, batch: Any, mesh: Mesh, folder: pathlib.Path):
    # Few positions and many devices: all compute the same.
    everywhere = sharding.replicated(mesh)
    self._batch = jax.device_put(batch, everywhere)
    self._predict = jax.jit(task.predict, out_shardings=everywhere)
    self._positions, self._folder = batch, folder

  def run(self, state: TrainState) -> dict[str, float]:
    """Returns {}: accuracies are another evaluator's."""
    logits = self._predict(state.eval_variables, self._batch)
    if jax.process_index() == 0:
      units = np.argmax(logits['units'], axis=-1)
      targets = np.argmax(logits['targets'], axis=-1)
      self._folder.mkdir(parents=True, exist_ok=True)
      path = self._folder / f'{int(state.step):06d}.svg'
      path.write_text(boards(self._positions, units, targets))
    return {}


def boards(positions: dict[str, np.ndarray], units, targets) -> str:
  """An SVG of one board for each position.

  Args:
    positions: a batch of the task, [B, ...].
    units, targets: [B], predicted; see `tasks.behavioural_cloning`.
  """
  drawn = []
  for i, (unit, target) in enumerate(zip(units, targets, strict=True)):
    pieces = positions['categories'][i]
    exists = positions['entity_mask'][i] > 0
    board = chess.BaseBoard.empty()
    for kind, square, _ in pieces[exists]:
      color = chess.WHITE if kind < 6 else chess.BLACK
      board.set_piece_at(int(square), chess.Piece(int(kind) % 6 + 1, color))
    played = _move(
      pieces, np.argmax(positions['selected'][i]), positions['target'][i]
    )
    predicted = _move(pieces, unit, target)
    arrows = [chess.svg.Arrow(*played, color='green')]
    if predicted != played:
      arrows.append(chess.svg.Arrow(*predicted, color='blue'))
    svg = chess.svg.board(board, arrows=arrows, size=_SIZE, coordinates=False)
    row, column = divmod(i, _COLUMNS)
    drawn.append(
      f'<g transform="translate({column * _STEP} {row * _STEP})">{svg}</g>'
    )
  width = _STEP * min(len(drawn), _COLUMNS)
  height = _STEP * -(-len(drawn) // _COLUMNS)
  return (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
    f'height="{height}">{"".join(drawn)}</svg>'
  )


def _move(pieces: np.ndarray, unit: int, target: int) -> tuple[int, int]:
  """Squares from and to; a target may be a piece or a square."""
  num_pieces = len(pieces)
  to = pieces[target, 1] if target < num_pieces else target - num_pieces
  return int(pieces[unit, 1]), int(to)

"""Draws a few positions with the move that was played and the predicted one.

The side to move has the white pieces, at the bottom. Green: played; blue:
predicted, if it is another.
"""

import pathlib
from typing import Any

import ml_collections
import numpy as np
from jax.sharding import Mesh
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from train_lib import batch_layout, pictures, pipeline, sharding
from train_lib.task import Task
from train_lib.train_state import TrainState

_COLUMNS = 4
# By kind, in the order of `data.entities.chess_openings`; filled ones for both
# colours: matplotlib's own font has them.
_PIECES = '\u265f\u265e\u265d\u265c\u265b\u265a'
_SQUARES = np.array([[0.71, 0.53, 0.39], [0.94, 0.85, 0.71]])
_PLAYED, _PREDICTED = 'tab:green', 'tab:blue'
TITLE = 'Moves played and predicted'
COMMENT = (
  'The side to move has the white pieces, at the bottom. Green: the move that '
  'was played; blue: the predicted one, where it is another.'
)


def make_evaluator(
  config: ml_collections.ConfigDict,
  *,
  task: Task,
  mesh: Mesh,
  folder: pathlib.Path,
) -> 'ChessBoards':
  """Reads data, examples of `data.entities.chess_openings`, and num_boards."""
  examples = pipeline.few_examples(config.data, config.num_boards)
  return ChessBoards(task, batch_layout.collate(examples), mesh, folder)


class ChessBoards:
  """Writes one picture a step."""

  def __init__(self, task: Task, batch: Any, mesh: Mesh, folder: pathlib.Path):
    self._positions = batch
    self._predict = sharding.jit_everywhere(mesh, task.predict)
    self._album = pictures.Album(folder, TITLE, COMMENT)

  def run(self, state: TrainState) -> dict[str, float]:
    """Returns {}: accuracies are another evaluator's."""
    logits = self._predict(state.eval_variables, self._positions)
    units, targets = (
      np.argmax(logits[name], axis=-1) for name in ('units', 'targets')
    )
    picture = pictures.of_figure(boards(self._positions, units, targets))
    self._album.write(int(state.step), [(picture, '')])
    return {}


def boards(positions: dict[str, np.ndarray], units, targets) -> Figure:
  """A board for each position.

  Args:
    positions: a batch of the task, [B, ...].
    units, targets: [B], predicted: indices of pieces, and of pieces or squares.
  """
  rows = -(-len(units) // _COLUMNS)
  columns = min(len(units), _COLUMNS)
  figure = Figure(
    figsize=(2.2 * columns, 2.2 * rows + 0.4), layout='constrained'
  )
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes:
    axis.set_axis_off()
  for i, (unit, target) in enumerate(zip(units, targets, strict=True)):
    pieces = positions['categories'][i]
    played = _move(
      pieces, np.argmax(positions['selected'][i]), positions['target'][i]
    )
    moves = {_move(pieces, unit, target): _PREDICTED, played: _PLAYED}
    draw(axes[i], pieces[positions['entity_mask'][i] > 0], moves)
  figure.legend(
    handles=[
      Line2D([], [], color=_PLAYED, lw=3, label='played'),
      Line2D([], [], color=_PREDICTED, lw=3, label='predicted, if another'),
    ],
    loc='outside upper left',
    ncols=2,
    frameon=False,
  )
  return figure


def draw(axis, pieces: np.ndarray, moves: dict[tuple[int, int], str]) -> None:
  """One board.

  Args:
    axis: of matplotlib; a square is 1 wide, a1's centre is (0, 0).
    pieces: [pieces, (kind, square, ...)]; kinds 0 to 5 are white.
    moves: (square from, square to) -> colour of the arrow.
  """
  rank, file = np.indices((8, 8))
  axis.imshow(_SQUARES[(rank + file) % 2], origin='lower')
  for kind, square, *_ in pieces:
    rank, file = divmod(int(square), 8)
    ink, rim = ('white', 'black') if kind < 6 else ('black', 'white')
    axis.text(
      file,
      rank,
      _PIECES[kind % 6],
      color=ink,
      fontsize=13,
      family='DejaVu Sans',
      ha='center',
      va='center_baseline',
      path_effects=[patheffects.withStroke(linewidth=1.2, foreground=rim)],
    )
  for (tail, head), color in moves.items():
    axis.annotate(
      '',
      xytext=divmod(tail, 8)[::-1],
      xy=divmod(head, 8)[::-1],
      arrowprops=dict(
        color=color, alpha=0.75, width=3, headwidth=9, headlength=8, shrink=0
      ),
    )


def _move(pieces: np.ndarray, unit: int, target: int) -> tuple[int, int]:
  """Squares from and to; a target may be a piece or a square."""
  num_pieces = len(pieces)
  to = pieces[target, 1] if target < num_pieces else target - num_pieces
  return int(pieces[unit, 1]), int(to)

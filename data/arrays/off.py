"""Meshes in the Object File Format (OFF), and points on their surfaces.

A text: the word OFF, the numbers of vertices, faces and edges, a vertex a line
(x y z), a face a line (how many vertices, then their indices from 0; what
follows, such as a colour, is passed by). Empty lines and what follows a # do
not count. Many files of ModelNet40 have no space or line between the word and
the numbers.

Letters: V vertices, F triangles, P points.
"""

import array
import math
from collections.abc import Iterable, Iterator

import numpy as np

_LONGEST = 40  # letters of a line in an error
_MOST_DIGITS = 18  # of 64 bits


def read(lines: Iterable[bytes], name: str) -> tuple[np.ndarray, np.ndarray]:
  """Reads a mesh, a line at a time; faces become fans of triangles.

  Args:
    lines: of the file, such as the open file.
    name: of the file, for errors.

  Returns:
    Vertices, float64 [V, 3], and triangles, int64 [F, 3], indices of vertices.
    Faces of fewer than three vertices have no surface and make none.

  Raises:
    ValueError: naming the file, its line, what was found and expected.
  """
  rows = _rows(lines)
  words = _next(rows, name, 'OFF and the numbers of vertices, faces, edges')
  number, first = words[0], words[1][0]
  if not first.startswith(b'OFF'):
    raise _error(name, words, 'OFF')
  rest = [x for x in (first[len(b'OFF') :], *words[1][1:]) if x]
  if rest:
    counts = number, rest
  else:
    counts = _next(rows, name, 'the numbers of vertices, faces and edges')
  num_vertices, num_faces = _whole(counts, 2, name, 'numbers of vertices, ...')
  # They grow as lines come: a number alone reserves no memory.
  vertices, triangles = array.array('d'), array.array('q')
  for _ in range(num_vertices):
    words = _next(rows, name, f'{num_vertices} vertices')
    vertices.extend(_point(words, name))
  for _ in range(num_faces):
    words = _next(rows, name, f'{num_faces} faces')
    (size,) = _whole(words, 1, name, 'a number of vertices')
    _, *face = _whole(words, 1 + size, name, f'{size} indices of vertices')
    if face and max(face) >= num_vertices:
      expected = f'indices of {num_vertices} vertices, from 0'
      raise _error(name, words, expected)
    for second, third in zip(face[1:], face[2:], strict=False):
      triangles.extend((face[0], second, third))
  return (
    np.array(vertices, np.float64).reshape(-1, 3),
    np.array(triangles, np.int64).reshape(-1, 3),
  )


def sample(
  vertices: np.ndarray,
  triangles: np.ndarray,
  num_points: int,
  rng: np.random.Generator,
) -> np.ndarray:
  """Points spread evenly over a surface, float32 [P, 3].

  A triangle is drawn in proportion to its area, and in it a point (Osada et al.
  2002, Shape distributions, section 4.1).

  Args:
    vertices, triangles: of `read`.
    num_points: P.
    rng: to draw from.

  Raises:
    ValueError: the surface has no area.
  """
  a, b, c = (vertices[triangles[:, i]] for i in range(3))
  area = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
  total = area.sum()
  if not (math.isfinite(total) and total > 0):
    raise ValueError(
      f'expected a surface, found {len(triangles)} triangles of area {total}'
    )
  chosen = rng.choice(len(triangles), num_points, p=area / total)
  away, along = np.sqrt(rng.random(num_points)), rng.random(num_points)
  shares = np.stack([1 - away, away * (1 - along), away * along], axis=-1)
  corners = vertices[triangles[chosen]]
  return np.einsum('pk,pkd->pd', shares, corners).astype(np.float32)


_Row = tuple[int, list[bytes]]


def _rows(lines: Iterable[bytes]) -> Iterator[_Row]:
  """Lines that say something, in words, with their numbers."""
  for number, line in enumerate(lines, 1):
    words = line.partition(b'#')[0].split()
    if words:
      yield number, words


def _next(rows: Iterator[_Row], name: str, expected: str) -> _Row:
  row = next(rows, None)
  if row is None:
    raise ValueError(f'{name}: expected {expected}, found the end of the file.')
  return row


def _whole(row: _Row, num: int, name: str, expected: str) -> list[int]:
  """The first `num` words as whole numbers from 0."""
  words = row[1][:num]
  if len(words) < num or not all(map(_is_whole, words)):
    raise _error(name, row, expected)
  return [int(word) for word in words]


def _is_whole(word: bytes) -> bool:
  return word.isdigit() and len(word) <= _MOST_DIGITS


def _point(row: _Row, name: str) -> list[float]:
  try:
    found = [float(word) for word in row[1][:3]]
  except ValueError:
    found = []
  if len(found) < 3 or not all(map(math.isfinite, found)):
    raise _error(name, row, 'a vertex, three finite numbers')
  return found


def _error(name: str, row: _Row, expected: str) -> ValueError:
  text = b' '.join(row[1]).decode(errors='replace')
  text = text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'
  return ValueError(
    f'{name}, line {row[0]}: expected {expected}, found {text!r}.'
  )

"""Batches of one group, out of an endless stream of examples of several.

Examples of a group have the same shapes. Batches are numbered in the order in
which they fill up, so that a stream and a batch size decide them all.
"""

import threading
from collections import defaultdict
from collections.abc import Hashable, Sequence


class Grouping:
  """Which places of a stream make up each batch; any thread may ask.

  What comes after a place costs as many looks at `groups`, once: a resumed run
  first repeats those of the run before, a few ten microseconds each.
  """

  def __init__(self, groups: Sequence[Hashable], batch_size: int):
    """Takes the group of every place of the stream, which has no end."""
    self._groups, self._batch_size = groups, batch_size
    self._lock = threading.Lock()
    self._batches, self._waiting = [], defaultdict(list)
    self._next_place = 0

  def __reduce__(self):
    return Grouping, (self._groups, self._batch_size)  # for other processes

  def __getitem__(self, index: int) -> list[int]:
    """The places, ascending, of the examples of a batch."""
    with self._lock:
      while len(self._batches) <= index:
        group = self._groups[self._next_place]
        self._waiting[group].append(self._next_place)
        if len(self._waiting[group]) == self._batch_size:
          self._batches.append(self._waiting.pop(group))
        self._next_place += 1
      return self._batches[index]

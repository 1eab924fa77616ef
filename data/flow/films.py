"""Films whose frames are asked for one after the other, and films of motion.

Letters: H height, W width.
"""

import collections
import pathlib
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from data.flow import flow_io

_NUM_KEPT = 16  # frames, from the last that was asked for on


class Film:
  """A film's frames, decoded as they are asked for.

  Attributes:
    path: of the file.
    rate: frames a second.
    num_frames: how many there are.
  """

  def __init__(self, path: pathlib.Path):
    """Counts the frames.

    Raises:
      ValueError: naming the file, which is no film or a broken one.
    """
    from data.video import media  # images need no PyAV

    self.path = path
    self.rate = media.read_rate(str(path))
    self.num_frames = sum(1 for _ in self._frames())
    self._lock = threading.Lock()
    self._begin()

  def frame(self, index: int) -> np.ndarray:
    """uint8 [H, W, 3], upright. Cheap if they are asked for in order."""
    with self._lock:
      if index not in self._kept and index < self._next:
        self._begin()
      while self._next <= index:
        self._kept[self._next] = next(self._reading)
        self._next += 1
        if len(self._kept) > _NUM_KEPT:
          self._kept.popitem(last=False)
      return self._kept[index]

  def _begin(self):
    self._reading, self._next = self._frames(), 0
    self._kept = collections.OrderedDict()

  def _frames(self) -> Iterator[np.ndarray]:
    from data.video import media

    return media.read_frames(str(self.path), fps=self.rate, size=None)


class Frame(NamedTuple):
  """One of a film's; as text film_0012.mp4."""

  film: Film
  index: int

  def __str__(self) -> str:
    path = self.film.path
    return str(path.with_name(f'{path.stem}_{self.index:04d}{path.suffix}'))

  def pixels(self) -> np.ndarray:
    return self.film.frame(self.index)


def write_motion(output: pathlib.Path, film: Film) -> None:
  """Writes an MP4 file: each frame, and on its right its motion in colours.

  All frames share a scale: full saturation is the motion that one pixel in 200
  exceeds. The `.flo` files of the frames are read beside `output`; frames that
  have none are left out.

  Args:
    output: to write.
    film: whose motion it is.
  """
  from data.video import media

  flows = {}
  for i in range(film.num_frames - 1):
    name = f'{pathlib.Path(str(Frame(film, i))).stem}.flo'
    if (output.parent / name).exists():
      flows[i] = output.parent / name

  def read(i):
    return flow_io.decode_flo(flows[i].read_bytes(), str(flows[i]))[0]

  longest = max(
    np.percentile(np.linalg.norm(read(i), axis=-1), 99.5) for i in flows
  )

  def shown():
    for i in flows:
      colours = flow_io.colours(read(i), float(longest))
      both = np.concatenate([film.frame(i), colours], axis=1)
      odd = [(0, n % 2) for n in both.shape[:2]]
      yield np.pad(both, (*odd, (0, 0)), mode='edge')

  media.write_video(str(output), shown(), fps=film.rate)

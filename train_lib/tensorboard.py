"""TensorBoard's files, each event on the disk before the next.

tensorboardX's own writer keeps events in a queue, which a kill empties.
"""

import math
import os
import time

import numpy as np
from tensorboardX import event_file_writer, summary
from tensorboardX.proto import event_pb2

from train_lib import places

_PART_BYTES = 2**23


class Events:
  """Appends to a new file in a folder, in a stand-in to one after the other."""

  def __init__(self, folder: str, start_step: int):
    """Opens it.

    Args:
      folder: that exists.
      start_step: what older files say of later steps is not shown any more.
    """
    self._prefix, self._number = os.path.join(folder, 'events'), 0
    self._size = 0  # bytes of the file
    # What has pictures would be copied again and again as it grows.
    self._most = _PART_BYTES if places.is_stand_in(folder) else math.inf
    self._writer = event_file_writer.EventsWriter(self._prefix)
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(start_step + 1, session_log=start)

  def scalars(self, step: int, scalars: dict[str, float]) -> None:
    values = [summary.scalar(*item).value[0] for item in scalars.items()]
    self._write(step, summary=summary.Summary(value=values))

  def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
    """Appends a picture [H, W, 3], uint8."""
    picture = summary.image(name, pixels, dataformats='HWC')
    self._write(step, summary=picture)

  def _write(self, step: int, **content) -> None:
    event = event_pb2.Event(wall_time=time.time(), step=step, **content)
    self._writer.write_event(event)
    self._writer.flush()
    self._size += event.ByteSize()
    if self._size > self._most:
      self._writer.close()
      self._size, self._number = 0, self._number + 1
      self._writer = event_file_writer.EventsWriter(
        self._prefix, f'.{self._number:06d}'
      )

  def close(self) -> None:
    self._writer.close()

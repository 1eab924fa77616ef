"""TensorBoard's files, each event on the disk before the next.

tensorboardX's own writer keeps events in a queue, which a kill empties.
"""

import os
import time

import numpy as np
from tensorboardX import event_file_writer, summary
from tensorboardX.proto import event_pb2


class Events:
  """Appends to a new file in a folder."""

  def __init__(self, folder: str, start_step: int):
    """Opens it.

    Args:
      folder: that exists.
      start_step: what older files say of later steps is not shown any more.
    """
    self._writer = event_file_writer.EventsWriter(
      os.path.join(folder, 'events')
    )
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._write(start_step + 1, session_log=start)

  def scalars(self, step: int, scalars: dict[str, float]) -> None:
    values = [summary.scalar(*item).value[0] for item in scalars.items()]
    self._write(step, summary=summary.Summary(value=values))

  def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
    """Appends a picture [H, W, 3], uint8."""
    picture = summary.image(name, pixels, dataformats='HWC')
    self._write(step, summary=picture)

  def _write(self, step: int, **event) -> None:
    self._writer.write_event(
      event_pb2.Event(wall_time=time.time(), step=step, **event)
    )
    self._writer.flush()

  def close(self) -> None:
    self._writer.close()

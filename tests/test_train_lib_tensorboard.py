"""TensorBoard's files: what was written is there, though nothing was closed."""

import numpy as np
from tensorboardX.proto import event_pb2

from train_lib import places, tensorboard


def events(folder):
  """Records as TFRecord has them: length, checksum, data, checksum."""
  data = b''.join(x.read_bytes() for x in sorted(folder.glob('events.*')))
  while data:
    length = int.from_bytes(data[:8], 'little')
    yield event_pb2.Event.FromString(data[12 : 12 + length])
    data = data[16 + length :]


def test_each_event_is_on_the_disk_at_once(tmp_path):
  written = tensorboard.Events(str(tmp_path), 4)
  written.scalars(5, {'loss': 0.5, 'test/accuracy': 0.25})
  _, start, scalars = events(tmp_path)
  assert start.step == 5  # of older files, what follows step 4 is not shown
  assert start.session_log.status == event_pb2.SessionLog.START
  values = {v.tag: v.simple_value for v in scalars.summary.value}
  assert scalars.step == 5 and values == {'loss': 0.5, 'test/accuracy': 0.25}
  written.picture(6, 'clusters/0', np.zeros((4, 6, 3), np.uint8))
  *_, picture = events(tmp_path)
  (value,) = picture.summary.value
  assert (value.image.height, value.image.width) == (4, 6)
  written.close()


def test_what_will_be_copied_is_in_parts_that_are_read_in_order(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(tensorboard, '_PART_BYTES', 300)
  monkeypatch.setitem(places.STAND_INS, str(tmp_path), tmp_path)
  written = tensorboard.Events(str(tmp_path), 0)
  for step in range(40):
    written.scalars(step, {'loss': float(step)})
  written.close()
  sizes = [x.stat().st_size for x in tmp_path.glob('events.*')]
  assert len(sizes) > 3 and max(sizes) < 700
  steps = [x.step for x in events(tmp_path) if x.HasField('summary')]
  assert steps == list(range(40))

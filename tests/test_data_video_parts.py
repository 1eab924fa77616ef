"""Parts of files, turned pictures, and time stamps that are wrong."""

from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip('av')

from data.video import media  # noqa: E402
from tests import media_files  # noqa: E402
from tests.test_data_video_media import write  # noqa: E402


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_turned_as_the_file_says(tmp_path, degrees):
  picture = np.zeros((32, 64, 3), np.uint8)
  picture[:8] = [250, 0, 0]
  picture[:, 40:48] = [0, 0, 250]
  path = tmp_path / 'a.mp4'
  media.write_video(str(path), [picture] * 5, fps=25)
  straight = media.read_video(str(path), fps=25, size=32)
  media_files.turn(path, degrees)
  found = media.read_video(str(path), fps=25, size=32)
  expected = np.rot90(straight, -degrees // 90, axes=(1, 2))
  np.testing.assert_allclose(found.astype(int), expected, atol=3)
  assert abs(found.astype(int) - straight).max() > 200
  (first, *_) = media.read_frames(str(path), fps=25, size=None)
  sides = (32, 64) if degrees == 180 else (64, 32)
  assert first.shape == (*sides, 3)


def test_pixels_that_are_no_squares(tmp_path):
  path = str(tmp_path / 'a.mkv')
  with av.open(path, 'w') as container:
    stream = container.add_stream('mpeg4', rate=25)
    stream.height, stream.width, stream.pix_fmt = 32, 32, 'yuv420p'
    stream.sample_aspect_ratio = Fraction(2, 1)
    stream.bit_rate = 4_000_000
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, 8:24] = 250  # As wide as high, when it is shown.
    for _ in range(5):
      frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  assert media.read_video(path, fps=25, size=32)[0, :, 4:-4].min() > 200


@pytest.mark.parametrize(
  'extension, codec, sound',
  [
    ('mp4', 'libx264', 'aac'),
    ('mkv', 'mpeg4', 'pcm_s16le'),
    ('avi', 'mjpeg', 'libmp3lame'),
  ],
)
def test_a_part_is_of_the_whole(tmp_path, extension, codec, sound):
  path = write(
    tmp_path / f'a.{extension}',
    seconds=3.2,
    codec=codec,
    rate=48_000,
    sound=sound,
  )
  whole = media.read_video(path, fps=25, size=16).astype(int)
  part = media.read_video(path, fps=25, size=16, start=1.2, end=2.4)
  assert len(part) == 30
  np.testing.assert_allclose(part, whole[30:60], atol=3)
  heard = media.read_audio(path, rate=8_000)
  some = media.read_audio(path, rate=8_000, start=1.2, end=2.4)
  assert len(some) == 9_600
  wave = heard[9_600:19_200].astype(int)
  away = slice(200, -200)  # from what decoders need to find into the sound
  assert abs(some[away] - wave[away]).mean() < 600 < abs(wave).mean() / 5
  last = media.read_video(path, fps=25, size=16, start=3.0)
  np.testing.assert_allclose(last, whole[75:], atol=3)


def test_a_part_that_is_not_there(tmp_path):
  path = write(tmp_path / 'a.mp4', seconds=1.0)
  for start, end in ((0.0, 5.0), (3.0, 5.0)):
    with pytest.raises(media.MediaError, match=r'lasts 1.0 seconds, expected'):
      media.read_video(path, fps=25, size=16, start=start, end=end)
  assert len(media.read_video(path, fps=25, size=16, start=0.5, end=1.2)) <= 18


def test_a_late_time_stamp_fills_no_memory(tmp_path):
  path = str(tmp_path / 'a.mkv')
  with av.open(path, 'w') as container:
    stream = container.add_stream('mpeg4', rate=25)
    stream.height, stream.width, stream.pix_fmt = 16, 16, 'yuv420p'
    for time in (0, 1, 2, 3, 90_000):
      frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
      frame.pts, frame.time_base = time, Fraction(1, 25)
      container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
  with pytest.raises(media.MediaError, match='at 3600.0 seconds follows none'):
    media.read_video(path, fps=25, size=16)


def test_an_albums_cover_is_no_film(tmp_path):
  path = str(tmp_path / 'a.mka')
  with av.open(path, 'w', format='matroska') as container:
    sound = container.add_stream('pcm_s16le', rate=8_000, layout='mono')
    frame = av.AudioFrame.from_ndarray(
      np.ones((1, 8_000), np.int16), 's16', 'mono'
    )
    frame.sample_rate = 8_000
    cover = container.add_attachment('cover.png', 'image/png', png())
    assert cover is not None
    container.mux(sound.encode(frame))
  with av.open(path) as container:
    assert container.streams.video  # FFmpeg takes it for one.
  with pytest.raises(media.NoTrackError, match='found no video track'):
    media.read_video(path, fps=25, size=16)
  assert len(media.read_audio(path, rate=8_000)) == 8_000


def png():
  import io

  import PIL.Image

  file = io.BytesIO()
  PIL.Image.new('RGB', (16, 16)).save(file, 'PNG')
  return file.getvalue()

"""Reading and writing video and sound, of good files and of bad ones."""

from fractions import Fraction

import av
import numpy as np
import pytest

from data.video import media


def write(
  path,
  *,
  fps=25,
  seconds=2.0,
  size=(32, 48),
  rate=None,
  codec='mpeg4',
  sound='aac',
  layout='mono',
  options=None,
):
  """A video whose frame i is a grey of level 3 i, with a tone of 500 Hz."""
  with av.open(str(path), 'w', options=options or {}) as container:
    pictures = container.add_stream(codec, rate=fps)
    pictures.height, pictures.width = size
    pictures.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
    pictures.bit_rate = 4_000_000
    streams = [pictures]
    if rate is not None:
      streams.append(container.add_stream(sound, rate=rate, layout=layout))
    for i in range(round(seconds * float(fps))):
      grey = np.full((*size, 3), 3 * i, np.uint8)
      frame = av.VideoFrame.from_ndarray(grey, format='rgb24')
      container.mux(pictures.encode(frame))
    if rate is not None:
      time = np.arange(round(seconds * rate)) / rate
      tone = (8_000 * np.sin(2 * np.pi * 500 * time)).astype(np.int16)
      channels = len(streams[1].layout.channels)
      frame = av.AudioFrame.from_ndarray(
        np.repeat(tone, channels)[None], 's16', layout
      )
      frame.sample_rate = rate
      container.mux(streams[1].encode(frame))
    for stream in streams:
      container.mux(stream.encode(None))
  return str(path)


def levels(path, fps):
  video = media.read_video(path, fps=fps, size=16)
  assert video.dtype == np.uint8 and video.shape[1:] == (16, 16, 3)
  return video.mean((1, 2, 3)) / 3


@pytest.mark.parametrize(
  'extension, codec, sound',
  [
    ('mp4', 'libx264', 'aac'),
    ('mkv', 'mpeg4', 'pcm_s16le'),
    ('webm', 'libvpx', 'libopus'),
    ('avi', 'mjpeg', 'libmp3lame'),
  ],
)
def test_containers(tmp_path, extension, codec, sound):
  path = write(
    tmp_path / f'a.{extension}', codec=codec, rate=48_000, sound=sound
  )
  found = levels(path, 25)
  np.testing.assert_allclose(found, np.arange(50), atol=1.5)
  audio = media.read_audio(path, rate=16_000)
  assert audio.dtype == np.int16 and abs(len(audio) - 32_000) < 2_000
  spectrum = np.abs(np.fft.rfft(audio))
  assert abs(spectrum.argmax() / len(audio) * 16_000 - 500) < 2
  assert abs(audio.std() / (8_000 / 2**0.5) - 1) < 0.1


@pytest.mark.parametrize('fps', [10, 30, Fraction(30_000, 1_001), 50])
def test_frame_rates(tmp_path, fps):
  path = write(tmp_path / 'a.mp4', fps=fps, seconds=1.5)
  found = levels(path, 25)
  # The frame on display, to half a frame of either rate.
  shown = np.arange(len(found)) / 25 * float(fps)
  assert abs(len(found) - 1.5 * 25) <= 1
  assert np.abs(found - shown).max() <= max(1.0, float(fps) / 25) + 1


def test_the_square_is_central(tmp_path):
  path = str(tmp_path / 'a.mp4')
  video = np.zeros((5, 32, 64, 3), np.uint8)
  video[:, :, 16:32, 0] = 250
  video[:, :, 32:48, 2] = 250
  video[:, :, :16] = video[:, :, 48:] = 99  # cut off
  media.write_video(
    path, video, fps=25, audio=np.zeros(9_600, np.int16), rate=48_000
  )
  found = media.read_video(path, fps=25, size=16)
  expected = video[:, ::2, 16:48:2]
  away = [2, 3, 4, 5, 10, 11, 12, 13]  # from edges, which H.264 blurs
  np.testing.assert_allclose(
    found[:, :, away].astype(float), expected[:, :, away], atol=12
  )


def test_sound_that_begins_late_is_padded(tmp_path):
  path = str(tmp_path / 'a.mkv')
  with av.open(path, 'w') as container:
    pictures = container.add_stream('mpeg4', rate=25)
    pictures.height, pictures.width, pictures.pix_fmt = 16, 16, 'yuv420p'
    sound = container.add_stream('pcm_s16le', rate=8_000, layout='mono')
    for _ in range(25):
      black = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
      container.mux(pictures.encode(black))
    container.mux(pictures.encode(None))
    frame = av.AudioFrame.from_ndarray(
      np.full((1, 4_000), 1_000, np.int16), 's16', 'mono'
    )
    frame.sample_rate, frame.pts, frame.time_base = (
      8_000,
      4_000,
      Fraction(1, 8_000),
    )
    container.mux(sound.encode(frame))
    container.mux(sound.encode(None))
  audio = media.read_audio(path, rate=8_000)
  np.testing.assert_array_equal(audio, np.repeat([0, 1_000], 4_000))


def write_wave(path, samples, layout):
  """16-bit samples [S, channels] at 8 kHz."""
  with av.open(str(path), 'w') as container:
    sound = container.add_stream('pcm_s16le', rate=8_000, layout=layout)
    frame = av.AudioFrame.from_ndarray(
      samples.astype(np.int16).reshape(1, -1), 's16', layout
    )
    frame.sample_rate = 8_000
    container.mux(sound.encode(frame))
  return str(path)


def test_channels_are_mixed_without_clipping(tmp_path):
  wave = np.repeat([30_000, -30_000], 400)
  for layout, channels in ('mono', 1), ('stereo', 2), ('5.1', 6):
    path = write_wave(
      tmp_path / f'{layout}.wav', np.repeat(wave[:, None], channels, 1), layout
    )
    audio = media.read_audio(path, rate=8_000)
    np.testing.assert_allclose(audio, wave, atol=2)


def test_written_files_read_back(tmp_path):
  path = str(tmp_path / 'a.mp4')
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
  video = coarse.repeat(8, axis=1).repeat(8, axis=2)
  time = np.arange(23_040) / 48_000
  audio = (9_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
  media.write_video(path, video, fps=25, audio=audio, rate=48_000)
  found = media.read_video(path, fps=25, size=32)
  assert found.shape == video.shape
  assert np.abs(found.astype(float) - video).mean() < 6
  heard = media.read_audio(path, rate=48_000)[: len(audio)]
  error = heard.astype(float) - audio
  assert np.abs(error[2_000:-2_000]).mean() < 500
  with pytest.raises(ValueError, match='found frames of 31 x 32'):
    media.write_video(path, video[:, 1:], fps=25, audio=audio, rate=48_000)


def cut(path, share):
  with open(path, 'rb') as f:
    data = f.read()
  with open(path, 'wb') as f:
    f.write(data[: int(share * len(data))])
  return path


def both(path):
  """The messages of both readers."""
  messages = []
  for read in (
    lambda: media.read_video(path, fps=25, size=16),
    lambda: media.read_audio(path, rate=16_000),
  ):
    with pytest.raises(media.MediaError) as e:
      read()
    assert str(e.value).startswith(f'{path}: ')
    messages.append(str(e.value))
  return messages


def test_a_truncated_file_is_named(tmp_path):
  path = write(tmp_path / 'a.mp4', rate=48_000)
  both(cut(path, 0.7))  # its index was at the end
  path = write(
    tmp_path / 'b.mp4', rate=48_000, options={'movflags': 'faststart'}
  )
  assert 'truncated: found' in both(cut(path, 0.6))[0]
  path = write(tmp_path / 'a.mkv', rate=48_000)
  assert all('truncated: found' in m for m in both(cut(path, 0.6)))


def test_a_file_that_is_none_is_named(tmp_path):
  path = tmp_path / 'a.mp4'
  assert all('No such file' in m for m in both(str(path)))
  path.write_bytes(b'')
  both(str(path))
  path.write_bytes(b'no video at all' * 100)
  both(str(path))


def test_a_missing_track_is_named(tmp_path):
  path = write(tmp_path / 'a.mp4')
  with pytest.raises(media.MediaError, match=r'a.mp4: found no audio track'):
    media.read_audio(path, rate=16_000)
  wave = write_wave(tmp_path / 'a.wav', np.ones((800, 1)), 'mono')
  np.testing.assert_array_equal(media.read_audio(wave, rate=8_000), 1)
  with pytest.raises(media.MediaError, match=r'a.wav: found no video track'):
    media.read_video(wave, fps=25, size=16)

"""Bytes of strangers: what is believed of them, and where they lie."""

import os
import stat
import wave

import numpy as np
import pytest

from tests import odd_images
from tools.playground import inputs
from tools.playground.inputs import Refused

PICTURE = odd_images.encode(odd_images.COLOURS, 'PNG')


def sound(path, seconds, rate=8_000):
  with wave.open(str(path), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(1)
    file.setframerate(rate)
    file.writeframes(bytes(seconds * rate))
  return path.read_bytes()


def test_a_sound_lies_in_a_file_of_our_own_and_is_gone_afterwards(tmp_path):
  held = sound(tmp_path / 'a.wav', 1)
  with inputs.private_file(held) as path:
    assert path.read_bytes() == held and path.name == 'upload'
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
  assert not path.parent.exists()


def test_it_is_gone_after_an_error_too(tmp_path):
  held = sound(tmp_path / 'a.wav', 1)
  with pytest.raises(ZeroDivisionError):
    with inputs.private_file(held) as path:
      raise ZeroDivisionError
  assert not path.parent.exists()


@pytest.mark.parametrize(
  'held',
  [
    b'#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n',
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b'v=0\no=- 0 0 IN IP4 127.0.0.1\n',
    b'<?xml version="1.0"?><MPD/>',
    b'[playlist]\nFile1=/etc/passwd\n',
    b'file:///etc/passwd',
    b'\x00\x00',
    b'x',
    PICTURE,
  ],
)
def test_what_is_no_sound_is_not_given_to_ffmpeg(held):
  """It also reads lists that name other files."""
  with pytest.raises(Refused, match='expected a sound or film'):
    with inputs.private_file(held):
      raise AssertionError


def test_a_broken_sound_and_a_long_one_are_refused(tmp_path):
  with pytest.raises(Refused, match='^file: the file is broken'):
    with inputs.private_file(b'fLaC' + bytes(30)):
      raise AssertionError
  held = sound(tmp_path / 'long.wav', 601)
  with pytest.raises(Refused, match='601 seconds are too many'):
    with inputs.private_file(held):
      raise AssertionError


def test_large_pictures_are_shrunk_and_small_ones_kept():
  large = odd_images.encode(np.zeros((300, 1200, 3), np.uint8), 'PNG')
  assert inputs.pixels(large, 'picture').shape == (128, 512, 3)
  np.testing.assert_array_equal(
    inputs.pixels(PICTURE, 'picture'), odd_images.COLOURS
  )


WRONG = {k: x for k, (x, _) in odd_images.wrong().items() if x is not None}


@pytest.mark.parametrize('name', WRONG)
def test_bad_pictures_are_refused_in_one_line(name):
  held = WRONG[name]
  with pytest.raises(Refused) as refused:
    inputs.pixels(held, 'picture')
  text = str(refused.value)
  assert text.startswith('picture: ') and '\n' not in text


def test_texts_have_an_end():
  assert inputs.text({'text': 'a' * 20_000}, 'text')
  with pytest.raises(Refused, match='found 20001 letters'):
    inputs.text({'text': 'a' * 20_001}, 'text')
  for wrong in (3, None, ['a']):
    with pytest.raises(Refused, match='text: expected a text'):
      inputs.text({'text': wrong}, 'text')


def test_which_clusters_are_off_is_read_once_each():
  sizes = {'stage_1': 3, 'stage_2': 2}
  off = {'stage_1': [2, 0, 2], 'stage_2': []}
  assert inputs.clusters_off(off, sizes) == {'stage_1': (0, 2)}
  assert inputs.clusters_off({}, sizes) == {}
  with pytest.raises(Refused, match='expected 0 to 1'):
    inputs.clusters_off({'stage_2': [0, 2]}, sizes)

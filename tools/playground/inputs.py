"""What a page asks, read from JSON and checked: nothing else is believed.

A request is one object with `run` and what the run takes, files as base64. No
name of a file is among it: bytes go to a run as they are, or, where a library
reads files alone, through one of our own in a folder that only this user sees.
"""

import base64
import binascii
import contextlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from data import image_files

MAX_BODY = 32 * 2**20  # bytes, of a request
MAX_PIXELS = 40_000_000  # of a picture: 120 MB decoded
MAX_LETTERS = 20_000
MAX_SECONDS = 600  # of a sound or film
LONGEST_SIDE = 512  # of what a model takes in any size
# How sounds and films begin that are read. FFmpeg also reads play lists, which
# name other files; none of them begins like this.
_MEDIA = (
  *((0, start) for start in (b'RIFF', b'OggS', b'fLaC', b'ID3', b'FORM')),
  *((0, bytes((0xFF, x))) for x in (0xF1, 0xF2, 0xF3, 0xF9, 0xFA, 0xFB)),
  (0, b'\x1a\x45\xdf\xa3'),  # Matroska and WebM
  (4, b'ftyp'),  # MP4, M4A, QuickTime
)
# What a run takes -> the fields of a request.
FIELDS = {
  'picture': ('picture',),
  'pair': ('first', 'second'),
  'text': ('text', 'text2'),
  'blanks': ('text', 'by'),
  'sound': ('file',),
  'film': ('file',),
}


class Refused(ValueError):
  """What a request asks cannot be answered; one line says why."""


class Asked(NamedTuple):
  """What a run is asked.

  Attributes:
    given: the input, as the run's kind of predictions takes it.
    off: name of an assignment -> its clusters that are switched off.
    by: what a blank of a text is, 'words' or 'tokens'.
  """

  given: Any
  off: Mapping[str, tuple[int, ...]] = {}
  by: str = 'words'

  def __str__(self) -> str:
    return ''  # Errors need not name what the page alone can have given.


def loads(body: bytes) -> dict[str, Any]:
  """An object of JSON, without numbers that are not finite.

  Raises:
    Refused: it is anything else.
  """

  def refuse(name):
    raise Refused(f'found the number {name}; expected finite ones.')

  try:
    value = json.loads(body, parse_constant=refuse)
  except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
    raise Refused('expected an object of JSON.') from None
  if not isinstance(value, dict):
    raise Refused('expected an object of JSON.')
  return value


def integer(body: Mapping[str, Any], name: str, end: int) -> int:
  """A field that counts, from 0 and below `end`."""
  value = body.get(name)
  if isinstance(value, bool) or not isinstance(value, int):
    raise Refused(f'{name}: expected a whole number.')
  if not 0 <= value < end:
    raise Refused(f'{name}: found {value}; expected 0 to {end - 1}.')
  return value


def known_fields(body: Mapping[str, Any], *names: str) -> None:
  """Raises Refused if there are other fields."""
  if wrong := sorted(set(body) - {'run', *names}):
    raise Refused(f'{wrong[0][:40]!r}: expected one of {sorted(names)}.')


def clusters_off(
  off: Any, sizes: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
  """Checks which clusters are switched off.

  Args:
    off: of the request.
    sizes: name of an assignment -> how many clusters it has.
  """
  if not isinstance(off, dict):
    raise Refused('off: expected an object.')
  for name, clusters in off.items():
    if name not in sizes:
      raise Refused(f'off: found {name[:40]!r}; expected of {sorted(sizes)}.')
    if not isinstance(clusters, list):
      raise Refused(f'off: {name}: expected a list of clusters.')
    for i, _ in enumerate(clusters):
      integer({f'off: {name}': clusters[i]}, f'off: {name}', sizes[name])
  return {name: tuple(sorted(set(x))) for name, x in off.items() if x}


def text(body: Mapping[str, Any], name: str) -> str:
  value = body.get(name, '')
  if not isinstance(value, str):
    raise Refused(f'{name}: expected a text.')
  if len(value) > MAX_LETTERS:
    raise Refused(
      f'{name}: found {len(value)} letters; expected at most {MAX_LETTERS}.'
    )
  return value


def file(body: Mapping[str, Any], name: str) -> bytes:
  value = body.get(name)
  if not isinstance(value, str):
    raise Refused(f'{name}: expected a file as base64.')
  try:
    held = base64.b64decode(value, validate=True)
  except (binascii.Error, ValueError):
    raise Refused(f'{name}: expected a file as base64.') from None
  if not held:
    raise Refused(f'{name}: the file is empty.')
  return held


def picture(body: Mapping[str, Any], name: str) -> bytes:
  """The bytes of a picture that is not too large to be decoded."""
  held = file(body, name)
  width = height = 0
  # What is broken, its reader says; bombs of the largest size PIL itself.
  with contextlib.suppress(Exception):
    image = PIL.Image.open(io.BytesIO(held), formats=image_files.FORMATS)
    width, height = image.size
  if width * height > MAX_PIXELS:
    raise Refused(
      f'{name}: {width} x {height} pixels are too many; expected at most '
      f'{MAX_PIXELS:,}.'
    )
  return held


def pixels(held: bytes, name: str, side: int = LONGEST_SIDE) -> np.ndarray:
  """uint8 [H, W, 3] of a picture's bytes, shrunk to at most `side`."""
  try:
    image = image_files.read_image(held, name)
  except ValueError as e:
    raise Refused(str(e)) from e
  image.thumbnail((side, side))
  return np.asarray(image)


@contextlib.contextmanager
def private_file(held: bytes) -> Iterator[pathlib.Path]:
  """A sound's or film's bytes under a name of our own, and gone afterwards.

  Raises:
    Refused: they are neither, or longer than is taken.
  """
  if not any(held.startswith(start, at) for at, start in _MEDIA):
    raise Refused(
      f'file: expected a sound or film (wav, mp3, flac, ogg, mp4, webm, avi), '
      f'found one that begins with {held[:8]!r}.'
    )
  with tempfile.TemporaryDirectory(prefix='playground-') as folder:
    path = pathlib.Path(folder, 'upload')
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, 'wb') as opened:
      opened.write(held)
    _check_length(path)
    yield path


def _check_length(path: pathlib.Path) -> None:
  import av  # of the extra `media`, which runs of sounds and films have

  try:
    with av.open(str(path)) as container:
      seconds = (container.duration or 0) / av.time_base
  except av.FFmpegError as e:
    raise Refused(f'file: the file is broken ({e.strerror}).') from e
  if seconds > MAX_SECONDS:
    raise Refused(
      f'file: {seconds:.0f} seconds are too many; expected at most '
      f'{MAX_SECONDS}.'
    )

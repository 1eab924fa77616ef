"""Opens the pictures and masks that users have, as a viewer shows them.

`read_image` is what every place that opens a user's picture calls: upright as
its EXIF orientation says, 8 bits from any depth, palette, grey and CMYK as RGB,
transparent parts on white, of several frames the first. A colour profile is
ignored: the numbers are taken for sRGB. Published evaluation on ImageNet opens
its files with `image_ops.open_image` instead, which leaves out all of this, as
those did whose figures it is compared with.

Whatever is wrong with a file is a ValueError of one line that names it.
"""

import concurrent.futures
import functools
import io
import os
import pathlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import PIL.Image
from PIL import ImageCms
from PIL.Image import Image, Transpose

from data import folders

SUFFIXES = (
  *('.jpg', '.jpeg', '.jfif', '.png', '.webp', '.tif', '.tiff', '.bmp', '.gif'),
)
MASK_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp', '.gif')
# What they hold, as PIL calls it. Its other readers are never tried: some start
# programs, and none is meant.
FORMATS = ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP', 'GIF')
_MASK_FORMATS = ('PNG', 'TIFF', 'BMP', 'GIF')
# Where PIL begins to warn of decompression bombs: 256 MB of RGB.
MAX_PIXELS = 89_478_485
_BACKGROUND = 'white'
_ORIENTATION, _PHOTOMETRIC, _BITS = 274, 262, 258  # tags of EXIF and TIFF
_TURNS = {
  2: Transpose.FLIP_LEFT_RIGHT,
  3: Transpose.ROTATE_180,
  4: Transpose.FLIP_TOP_BOTTOM,
  5: Transpose.TRANSPOSE,
  6: Transpose.ROTATE_270,
  7: Transpose.TRANSVERSE,
  8: Transpose.ROTATE_90,
}

File = str | os.PathLike | bytes


def read_image(file: File, name: str | None = None) -> Image:
  """A picture as a viewer shows it: RGB of 8 bits, decoded.

  Of 16 bits the highest value is white. Floats are taken for [0, 1] or, if any
  is above 1, for [0, 255]; integers of 32 bits for 8 or 16 bits.

  Args:
    file: a path, or the file's bytes.
    name: for errors; by default the path.

  Raises:
    ValueError: naming the file and what is wrong with it.
  """
  name = _name(file, name)
  image, turn = _decode(file, name, FORMATS, SUFFIXES)
  if image.mode.startswith('I') or image.mode == 'F':
    image = _as_8_bits(image, name)
  elif image.mode == 'LAB':
    image = ImageCms.profileToProfile(
      image,
      ImageCms.createProfile('LAB'),
      ImageCms.createProfile('sRGB'),
      outputMode='RGB',
    )
  elif image.has_transparency_data:
    image = image.convert('RGBA')
    ground = PIL.Image.new('RGBA', image.size, _BACKGROUND)
    image = PIL.Image.alpha_composite(ground, image)
  image = image.convert('RGB')
  return image if turn is None else image.transpose(turn)


def read_mask(file: File, name: str | None = None) -> np.ndarray:
  """The values of a mask: uint8 [H, W], upright as `read_image`'s.

  Grey values of 1, 2, 4, 8 or 16 bits or the indices of a palette, as the file
  stores them. Colours are taken where all three are the same. JPEG and WebP
  are refused: they change values.

  Args:
    file: a path, or the file's bytes.
    name: for errors; by default the path.

  Raises:
    ValueError: naming the file and what is wrong with it.
  """
  name = _name(file, name)
  image, turn = _decode(file, name, _MASK_FORMATS, MASK_SUFFIXES)
  step = image.info.get('grey_step', 1)
  values = np.asarray(image)
  if values.ndim == 3:
    if image.mode not in ('RGB', 'RGBA', 'LA') or not _is_grey(image, values):
      raise ValueError(
        f'{name}: expected a grey or palette image, whose values are classes, '
        f'found colours (mode {image.mode!r}).'
      )
    values = values[..., 0]
  elif image.mode == 'F':
    raise ValueError(
      f'{name}: expected integers, which are classes, found floats.'
    )
  values = values // step if step > 1 else values.astype(np.int64)
  if values.min() < 0 or values.max() > 255:
    raise ValueError(
      f'{name}: expected values from 0 to 255, found {values.min()} to '
      f'{values.max()}.'
    )
  values = values.astype(np.uint8)
  if turn is not None:
    values = np.asarray(PIL.Image.fromarray(values).transpose(turn))
  return values


def image_paths(folder: str | os.PathLike) -> list[pathlib.Path]:
  """The pictures in a folder, sorted; `folders.files` says what is passed by.

  Raises:
    FileNotFoundError: there is no such folder, or no picture in it.
  """
  there = os.path.isdir(folder)
  paths = folders.files(folder, SUFFIXES) if there else []
  if not paths:
    found = 'found none' if there else 'there is no such folder'
    raise FileNotFoundError(
      f'{folder}: expected images ({", ".join(SUFFIXES)}), {found}.'
    )
  return paths


def readable(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
  """Those that can be decoded; the others are named and counted, on stdout.

  Each file is decoded once in a process, as long as it does not change.

  Raises:
    ValueError: none can be read.
  """
  faults = list(zip(paths, _all_faults(paths), strict=True))
  broken = [fault for _, fault in faults if fault]
  for fault in broken[:20]:
    folders.say_once(f'Left out: {fault}')
  if broken:
    where = os.path.commonpath([path.parent for path in paths])
    folders.say_once(
      f'{where}: {len(broken)} of {len(paths)} images cannot be read.'
    )
  if len(broken) == len(paths):
    raise ValueError(f'None of {len(paths)} images can be read: {broken[0]}')
  return [path for path, fault in faults if not fault]


def _all_faults(paths: Iterable[pathlib.Path]) -> list[str | None]:
  def look(path):
    try:
      stat = path.stat()
    except OSError as e:
      return f'{path}: {e.strerror}.'
    return _fault(path, stat.st_size, stat.st_mtime_ns)

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(look, paths))


@functools.cache
def _fault(path: pathlib.Path, size: int, modified: int) -> str | None:
  del size, modified  # They are of the cache's key: the file is still the same.
  try:
    read_image(path)
  except ValueError as e:
    return str(e)
  return None


def _name(file: File, name: str | None) -> str:
  if name is not None:
    return name
  return '<bytes>' if isinstance(file, bytes) else os.fspath(file)


def _decode(file, name, formats, suffixes) -> tuple[Image, Transpose | None]:
  """The decoded first frame, and how to turn it."""
  if not isinstance(file, bytes):
    file = _read(file, name)
  if not file:
    raise ValueError(f'{name}: the file is empty; expected an image.')
  try:
    image = PIL.Image.open(io.BytesIO(file), formats=formats)
  except PIL.UnidentifiedImageError:
    raise ValueError(
      f'{name}: expected an image ({", ".join(suffixes)}), found none: the '
      f'file begins with {file[:8]!r}.'
    ) from None
  except (PIL.Image.DecompressionBombError, Warning) as e:
    raise ValueError(f'{name}: {e}; expected an image.') from e
  except Exception as e:  # Its readers raise all kinds, of what is broken.
    raise _broken(name, e) from e
  width, height = image.size
  if width * height > MAX_PIXELS:
    raise ValueError(
      f'{name}: {width} x {height} pixels are too many; expected an image of '
      f'at most {MAX_PIXELS:,}.'
    )
  grey_step = _grey_step(image)
  try:
    image.load()
    # After decoding: PIL itself turns TIFF files, and forgets how.
    turn = _TURNS.get(_exif_orientation(image))
  except Exception as e:
    raise _broken(name, e) from e
  image.info['grey_step'] = grey_step
  return image, turn


def _read(path: str | os.PathLike, name: str) -> bytes:
  try:
    return pathlib.Path(path).read_bytes()
  except IsADirectoryError:
    raise ValueError(f'{name}: expected an image, found a folder.') from None
  except FileNotFoundError:
    raise ValueError(f'{name}: expected an image, there is no file.') from None
  except OSError as e:
    raise ValueError(f'{name}: cannot be read: {e.strerror}.') from e


def _broken(name: str, error: Exception) -> ValueError:
  text = ' '.join(str(error).split()) or type(error).__name__
  return ValueError(
    f'{name}: the file is broken ({text[:200]}); expected an image.'
  )


def _exif_orientation(image: Image) -> int | None:
  try:
    return image.getexif().get(_ORIENTATION)
  except (struct.error, SyntaxError, ValueError, KeyError, TypeError, OSError):
    return None  # Viewers, too, show a picture whose notes are broken.


def _grey_step(image: Image) -> int:
  """What PIL multiplies grey values by whose depth is 2 or 4 bits."""
  if image.mode != 'L' or not image.tile:
    return 1
  args = image.tile[0].args
  raw = args if isinstance(args, str) else str(args[0] if args else '')
  return {'L;2': 85, 'L;4': 17}.get(raw[:3], 1)


def _is_grey(image: Image, values: np.ndarray) -> bool:
  """Whether all channels are the same and nothing is transparent."""
  if image.mode in ('RGBA', 'LA'):
    values, alpha = values[..., :-1], values[..., -1]
    if (alpha != 255).any():
      return False
  return bool((values == values[..., :1]).all())


def _as_8_bits(image: Image, name: str) -> Image:
  """Grey of 8 bits from integers of 16 or 32 bits, or floats."""
  values = np.asarray(image)
  tags = getattr(image, 'tag_v2', {})
  low, high = values.min(), values.max()
  if image.mode == 'F':
    white = 1 if high <= 1 else 255
    expected = '[0, 1] or [0, 255]'
  elif image.mode == 'I':
    white = 255 if high <= 255 else 65535
    expected = '[0, 65535]'
  else:
    white = 2 ** tags.get(_BITS, (16,))[0] - 1
    expected = f'[0, {white}]'
  if not (low >= 0 and high <= white):  # NaN is neither.
    raise ValueError(
      f'{name}: expected values in {expected}, found {low:g} to {high:g}.'
    )
  values = values / white
  if tags.get(_PHOTOMETRIC) == 0:  # White is zero.
    values = 1 - values
  return PIL.Image.fromarray(np.round(255 * values).astype(np.uint8))

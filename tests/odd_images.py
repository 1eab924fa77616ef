"""Pictures and masks as people have them, good, odd and bad, made here."""

import io
import struct
import zlib

import numpy as np
import PIL.Image

HEIGHT, WIDTH = 16, 24
# Eight flat patches: what lossy files, too, give back almost exactly.
_PATCHES = np.uint8(
  [
    [[250, 10, 10], [10, 240, 20], [20, 30, 230]],
    [[240, 240, 20], [128, 128, 128], [20, 200, 210]],
  ]
)
COLOURS = _PATCHES.repeat(HEIGHT // 2, 0).repeat(WIDTH // 3, 1)
GREY = (np.arange(HEIGHT)[:, None] * 8 + np.arange(WIDTH) * 5).astype(np.uint8)
LEFT = np.arange(WIDTH) < WIDTH // 2


def rgb(grey):
  return np.repeat(np.uint8(grey)[..., None], 3, -1)


def encode(image, kind, **options):
  if kind == 'JPEG':
    options = dict(quality=98, subsampling=0) | options
  if isinstance(image, np.ndarray):
    image = PIL.Image.fromarray(image)
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def with_orientation(kind, orientation, **options):
  """A file that a viewer shows as COLOURS."""
  exif = PIL.Image.Exif()
  exif[274] = orientation
  stored = np.asarray(COLOURS)
  # EXIF's definition: where row 0 and column 0 of the stored pixels are shown.
  undo = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
  }
  if orientation in undo:
    stored = undo[orientation](stored)
  return encode(np.ascontiguousarray(stored), kind, exif=exif, **options)


def png(rows, width, depth, colour_type, *chunks):
  """A PNG of packed rows, with chunks before its data."""

  def chunk(name, data):
    return (
      struct.pack('>I', len(data))
      + name
      + data
      + struct.pack('>I', zlib.crc32(name + data))
    )

  header = struct.pack('>2I5B', width, len(rows), depth, colour_type, 0, 0, 0)
  data = zlib.compress(b''.join(b'\0' + bytes(row) for row in rows))
  parts = [(b'IHDR', header), *chunks, (b'IDAT', data), (b'IEND', b'')]
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


def packed(values, bits):
  """Rows of values of 1, 2 or 4 bits."""
  each = 8 // bits
  shifts = 8 - bits * (np.arange(each) + 1)
  grouped = values.reshape(len(values), -1, each).astype(int) << shifts
  return grouped.sum(-1).astype(np.uint8)


def tiff(data, bits, photometric, sample_format=1, samples=1):
  """An uncompressed TIFF file of one strip."""
  tags = [
    (256, 4, WIDTH),
    (257, 4, HEIGHT),
    (258, 3, bits),
    (259, 3, 1),
    (262, 3, photometric),
    (273, 4, 8 + 2 + 12 * 10 + 4),
    (277, 3, samples),
    (278, 4, HEIGHT),
    (279, 4, len(data)),
    (339, 3, sample_format),
  ]
  ifd = struct.pack('<H', len(tags))
  for tag, kind, value in tags:
    ifd += struct.pack('<2HI', tag, kind, 1)
    ifd += struct.pack('<I' if kind == 4 else '<H2x', value)
  return b'II*\0' + struct.pack('<I', 8) + ifd + b'\0\0\0\0' + data


def _formats(add):
  """Eight bits a colour, as each format keeps them."""
  for kind in ('PNG', 'TIFF', 'BMP'):
    add(f'plain.{kind.lower()}', encode(COLOURS, kind), COLOURS)
    add(f'grey.{kind.lower()}', encode(GREY, kind), rgb(GREY))
  for suffix in ('jpg', 'jpeg', 'JPG'):
    add(f'plain_{suffix}.{suffix}', encode(COLOURS, 'JPEG'), COLOURS, 6)
  add('progressive.jpg', encode(COLOURS, 'JPEG', progressive=True), COLOURS, 6)
  add('grey.jpg', encode(GREY, 'JPEG'), rgb(GREY), 4)
  add('lossless.webp', encode(COLOURS, 'WEBP', lossless=True), COLOURS)
  add('lossy.webp', encode(COLOURS, 'WEBP', quality=95), COLOURS, 24)
  add('a.gif', encode(COLOURS, 'GIF'), COLOURS)
  second = PIL.Image.fromarray(255 - COLOURS)
  for kind in ('GIF', 'TIFF', 'WEBP'):
    options = dict(lossless=True) if kind == 'WEBP' else {}
    data = encode(
      COLOURS, kind, save_all=True, append_images=[second], **options
    )
    add(f'frames_{kind}.{kind.lower()}', data, COLOURS)
  for i in range(1, 9):
    add(f'turned_{i}.jpg', with_orientation('JPEG', i), COLOURS, 6)
    add(f'turned_{i}.tif', with_orientation('TIFF', i), COLOURS)
  add('turned_6.png', with_orientation('PNG', 6), COLOURS)
  add('turned_8.webp', with_orientation('WEBP', 8, lossless=True), COLOURS)
  add('turned_99.jpg', with_orientation('JPEG', 99), COLOURS, 6)


def _samples(add):
  """Other bits, palettes, transparency, inks, and what is odd in a file."""
  sixteen = GREY.astype(np.uint16) * 257
  add('sixteen.png', encode(sixteen, 'PNG'), rgb(GREY))
  add('sixteen.tif', encode(sixteen, 'TIFF'), rgb(GREY))
  add('dark.png', encode(np.full_like(sixteen, 200), 'PNG'), rgb(GREY * 0 + 1))
  deep = np.asarray(COLOURS, '>u2') * 257
  rows = deep.astype('>u2').reshape(HEIGHT, -1)
  rows = [row.tobytes() for row in rows]
  add('sixteen_rgb.png', png(rows, WIDTH, 16, 2), COLOURS)
  data = (65535 - sixteen).astype('<u2').tobytes()
  add('white_is_zero.tif', tiff(data, 16, 0), rgb(GREY))
  data = (255 - GREY).tobytes()
  add('white_is_zero_8.tif', tiff(data, 8, 0), rgb(GREY))
  add('ints.tif', encode(GREY.astype(np.int32), 'TIFF'), rgb(GREY))
  add('ints_16.tif', encode(sixteen.astype(np.int32), 'TIFF'), rgb(GREY))
  floats = GREY.astype(np.float32)
  add('unit_floats.tif', encode(floats / 255, 'TIFF'), rgb(GREY))
  add('floats.tif', encode(floats, 'TIFF'), rgb(GREY))
  quarters = (GREY // 64).astype(np.uint8)
  for bits, step in ((1, 255), (2, 85), (4, 17)):
    levels = GREY >> (8 - bits)
    data = png(packed(levels, bits), WIDTH, bits, 0)
    add(f'grey_{bits}.png', data, rgb(levels * step))
  add('bits.tif', encode(GREY > 99, 'TIFF'), rgb((GREY > 99) * 255))
  add('bits.bmp', encode(GREY > 99, 'BMP'), rgb((GREY > 99) * 255))

  palette = PIL.Image.fromarray(COLOURS).convert('P', palette=1, colors=8)
  add('palette.png', encode(palette, 'PNG'), palette.convert('RGB'))
  add('palette.bmp', encode(palette, 'BMP'), palette.convert('RGB'))
  table = np.uint8([[9, 8, 7], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
  data = png(packed(quarters, 2), WIDTH, 2, 3, (b'PLTE', table.tobytes()))
  add('palette_2.png', data, table[quarters])
  data = png(
    *(packed(quarters, 2), WIDTH, 2, 3),
    *((b'PLTE', table.tobytes()), (b'tRNS', b'\0')),
  )
  shown = np.where((quarters == 0)[..., None], 255, table[quarters])
  add('palette_alpha.png', data, shown)

  alpha = np.where(LEFT, 0, 255) * np.ones((HEIGHT, 1), int)
  cut = np.where(LEFT[None, :, None], 255, COLOURS)
  rgba = np.dstack([COLOURS, alpha]).astype(np.uint8)
  add('alpha.png', encode(rgba, 'PNG'), cut)
  add('alpha.webp', encode(rgba, 'WEBP', lossless=True), cut)
  add('alpha.tif', encode(rgba, 'TIFF'), cut)
  half = np.dstack([COLOURS, np.full_like(GREY, 51)])  # a fifth
  add('half.png', encode(half, 'PNG'), COLOURS * 0.2 + 255 * 0.8, 1)
  grey_alpha = PIL.Image.fromarray(np.dstack([GREY, alpha]).astype(np.uint8))
  add(
    'grey_alpha.png', encode(grey_alpha, 'PNG'), rgb(np.where(LEFT, 255, GREY))
  )
  key = bytes([0, 250, 0, 10, 0, 10])
  data = png(COLOURS.reshape(HEIGHT, -1), WIDTH, 8, 2, (b'tRNS', key))
  keyed = (COLOURS == [250, 10, 10]).all(-1, keepdims=True)
  add('colour_key.png', data, np.where(keyed, 255, COLOURS))

  ink = PIL.Image.fromarray(COLOURS).convert('CMYK')
  add('ink.tif', encode(ink, 'TIFF'), COLOURS)
  add('ink.jpg', encode(ink, 'JPEG'), COLOURS, 6)
  lab = PIL.Image.new('LAB', (WIDTH, HEIGHT), (128, 128, 128))
  add('lab.tif', encode(lab, 'TIFF'), np.full_like(COLOURS, 119), 3)
  add('profile.png', encode(COLOURS, 'PNG', icc_profile=b'no one'), COLOURS)
  add('one_pixel.png', encode(COLOURS[:1, :1], 'PNG'), COLOURS[:1, :1])
  exif = b'Exif\0\0II*\0\x08\0\0\0\xff\xff\x12'
  add('broken_exif.jpg', encode(COLOURS, 'JPEG', exif=exif), COLOURS, 6)
  add('really_a_png.jpg', encode(COLOURS, 'PNG'), COLOURS)
  add('late.jpg', encode(COLOURS, 'JPEG') + b'what a phone adds', COLOURS, 6)


def right():
  """{file name: (its bytes, the pixels that a viewer shows, tolerance)}"""
  files = {}

  def add(name, data, pixels, tolerance=0):
    files[name] = (data, np.asarray(pixels), tolerance)

  _formats(add)
  _samples(add)
  return files


def wrong():
  """{file name: (its bytes or None for a folder, a pattern of the error)}"""
  whole = {
    'jpg': encode(COLOURS.repeat(8, 0).repeat(8, 1), 'JPEG'),
    'png': encode(COLOURS, 'PNG'),
    'webp': encode(COLOURS, 'WEBP', lossless=True),
    'tif': encode(COLOURS, 'TIFF'),
    'bmp': encode(COLOURS, 'BMP'),
  }
  noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
  whole['gif'] = encode(noise, 'GIF')
  half = {
    f'half.{kind}': (data[: len(data) // 2], 'broken|expected an image')
    for kind, data in whole.items()
  }
  start = {f'start.{k}': (x[:10], 'broken|begins') for k, x in whole.items()}
  bomb = png([b'\0'] * 10, 40_000, 8, 0).replace(
    struct.pack('>2I', 40_000, 10), struct.pack('>2I', 40_000, 40_000)
  )
  crc = zlib.crc32(
    b'IHDR' + struct.pack('>2I5B', 40_000, 40_000, 8, 0, 0, 0, 0)
  )
  bomb = bomb[:29] + struct.pack('>I', crc) + bomb[33:]
  nan = np.full((4, 4), np.nan, np.float32)
  return (
    half
    | start
    | {
      'empty.jpg': (b'', 'empty'),
      'folder.jpg': (None, 'folder'),
      'text.png': (b'no picture at all', "begins with b'no pictu'"),
      'page.jpg': (b'<!DOCTYPE html><html>', 'begins with'),
      'script.png': (b'%!PS-Adobe-3.0 EPSF-3.0\n', 'begins with'),
      'netpbm.png': (b'P6 1 1 255\n\1\2\3', 'begins with'),
      'zeros.jpg': (b'\0' * 1000, 'begins with'),
      'bomb.png': (bomb, 'exceeds limit|too many'),
      'large.png': (
        encode(PIL.Image.new('1', (9500, 9500)), 'PNG'),
        'too many',
      ),
      'nan.tif': (encode(nan, 'TIFF'), r'expected values in .* found nan'),
      'negative.tif': (encode(nan * 0 - 1, 'TIFF'), 'found nan'),
      'below.tif': (
        encode(np.full((4, 4), -1, np.float32), 'TIFF'),
        'found -1',
      ),
      'above.tif': (encode(np.full((4, 4), 1e6, 'f'), 'TIFF'), r'found 1e\+06'),
      'long.tif': (encode(np.full((4, 4), 1 << 20, np.int32), 'TIFF'), 'found'),
      'checksum.png': (
        whole['png'][:-25] + b'\xff\0\xff' + whole['png'][-22:],
        'broken',
      ),
    }
  )

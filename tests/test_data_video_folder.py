"""Clips of users by folder and by table; what they lack is masked."""

import io
import struct

import numpy as np
import PIL.Image
import pytest

pytest.importorskip('av')

from data import tables  # noqa: E402
from data.video import (  # noqa: E402
  folder,
  folder_films,
  folder_pictures,
  media,
)
from tests import media_files  # noqa: E402
from tests.test_data_sound_predictions import write_wave  # noqa: E402


def wave_of(samples, bits, kind):
  """A WAV file of 8 kHz; kind 1 is of integers, 3 of floats."""
  data = bytes(samples)
  rate, width = 8_000, bits // 8
  form = struct.pack('<HHIIHH', kind, 1, rate, rate * width, width, bits)
  parts = b'WAVEfmt ' + struct.pack('<I', 16) + form
  parts += b'data' + struct.pack('<I', len(data)) + data
  return b'RIFF' + struct.pack('<I', len(parts)) + parts


def photo(kind):
  file = io.BytesIO()
  PIL.Image.new('RGB', (48, 32), 'red').save(file, kind)
  return file.getvalue()


OPTIONS = dict(
  num_classes=4,
  num_clips=2,
  num_frames=4,
  frame_stride=3,
  image_size=16,
  num_samples=24_000,
  spectrogram=None,
  spec_augment=None,
  hidden=(),
)


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  """Folders of two classes: seen and heard, silent, and sound alone."""
  root = tmp_path_factory.mktemp('clips')
  for kind in ('down', 'right'):
    (root / kind).mkdir()
    media_files.write_moving(root / kind / 'both.mp4', kind)
    media_files.write_moving(root / kind / 'silent.mp4', kind, sound=False)
  write_wave(root / 'down' / 'blind.wav', np.full(16_000, 900))
  (root / 'down' / 'half.mp4').write_bytes(b'no film')
  (root / 'down' / '._both.mp4').write_bytes(b'litter')
  (root / 'down' / 'both.vtt').write_text('a subtitle')
  rows = ['file,label,split,start,end']
  for kind in ('down', 'right'):
    for name in ('both', 'silent'):
      rows.append(f'{kind}/{name}.mp4,{kind},train,,')
    rows.append(f'{kind}/both.mp4,{kind},validation,0.2,0.6')
  rows.append('down/blind.wav,down|right,train,,')
  rows.append('down/half.mp4,down,train,,')
  (root / 'clips.csv').write_text('\n'.join(rows))
  return root


def by_name(examples):
  return {x['file_name'].rpartition('/')[2]: x for x in examples}


def test_a_table_with_parts_and_what_is_missing(clips, capsys):
  train = folder.source('train', str(clips / 'clips.csv'))
  said = capsys.readouterr().out
  assert 'half.mp4' in said and '1 of 6 clips cannot be read' in said
  assert train[0]['classes'] == ('down', 'right')
  labels = [x['labels'].tolist() for x in train]
  assert labels == [[0], [0], [1], [1], [0, 1]]
  sizes = [(len(x['video']), len(x['audio'])) for x in train]
  assert sizes[1] == sizes[3] == (25, 0) and sizes[4] == (0, 48_000)
  assert sizes[0][0] == 25 and 48_000 <= sizes[0][1] < 50_000
  part = folder.source('validation', str(clips / 'clips.csv'))[1]
  assert part['file_name'].endswith('right/both.mp4 (0.2 to 0.6)')
  assert len(part['video']) == 10 and len(part['audio']) == 19_200


def test_folders_split_by_a_hash(clips, capsys):
  found = [x['file_name'] for x in folder.source('train', str(clips))] + [
    x['file_name'] for x in folder.source('validation', str(clips))
  ]
  assert len(set(found)) == len(found) == 5
  assert 'split by a hash of the names' in capsys.readouterr().out


def test_what_is_missing_is_zeros_and_said(clips):
  examples = by_name(folder.source('train', str(clips / 'clips.csv')))
  out = {
    name: folder.preprocess(x, train=False, rng=None, **OPTIONS)
    for name, x in examples.items()
  }
  assert out['both.mp4']['has_image'] == out['both.mp4']['has_audio'] == 1
  silent, blind = out['silent.mp4'], out['blind.wav']
  assert (silent['has_image'], silent['has_audio']) == (1, 0)
  assert not silent['audio'].any() and silent['image'].any()
  assert (blind['has_image'], blind['has_audio']) == (0, 1)
  assert not blind['image'].any() and blind['labels'].tolist() == [1, 1, 0, 0]
  np.testing.assert_allclose(blind['audio'], 900 / 2**15, atol=2e-3)
  assert blind['image'].shape == (2, 4, 16, 16, 3)


def test_what_is_hidden_is_as_if_missing():
  example = folder.synthetic('test')[0]
  for name, other in (('image', 'audio'), ('audio', 'image')):
    options = OPTIONS | dict(hidden=(name,))
    out = folder.preprocess(example, train=False, rng=None, **options)
    assert (out[f'has_{name}'], out[f'has_{other}']) == (0, 1)
    assert not out[name].any() and out[other].any()


def test_picture_and_sound_are_of_one_time(clips):
  """Of 20 seconds whose second tells itself, by grey and by amplitude."""
  seconds = np.arange(20)
  grey = np.repeat(seconds * 10, 25).astype(np.uint8)
  frames = np.broadcast_to(grey[:, None, None, None], (500, 16, 16, 3))
  from data.video import jpegs

  example = {
    'video': jpegs.encode_all(frames),
    'audio': np.repeat(seconds * 1_000, 48_000).astype(np.int16),
    'labels': np.int32([0]),
  }
  for seed in range(4):
    out = folder.preprocess(
      example,
      train=True,
      rng=np.random.default_rng(seed),
      **OPTIONS | dict(num_samples=4_800, frame_stride=1),
    )
    heard = out['audio'][0, 0] * 2**15 / 1_000
    # A crop's brightness is drawn, the order is not: compare without it.
    still = folder_pictures.jpegs.window(
      example['video'], int(heard * 25), 1, 1, 16
    )
    assert abs(still.mean() / 10 - heard) < 0.5
    levels = out['image'][0].mean(axis=(1, 2, 3)) / 10 / heard
    assert 0.65 < levels[0] < 1.35


def test_pictures_alone(clips):
  table = clips / 'one.csv'
  text = (clips / 'clips.csv').read_text()
  table.write_text(text.replace('down|right', 'down'))
  found = folder_pictures.source('train', str(table))
  assert len(found) == 4  # The sound is left out.
  options = dict(num_frames=8, frame_stride=2, image_size=16)
  out = folder_pictures.preprocess(found[2], train=False, rng=None, **options)
  assert out['image'].shape == (8, 16, 16, 3) and out['label'] == 1
  # The square moves to the right, from the first frame to the last.
  places = [np.argmax(x.mean(axis=(0, 2))) for x in out['image']]
  assert places[-1] > places[0]
  longer = folder_pictures.preprocess(
    found[2], train=False, rng=None, **options | dict(num_frames=40)
  )
  np.testing.assert_array_equal(longer['image'][-1], longer['image'][-2])
  with pytest.raises(ValueError, match=r"one label .* found 'down\|right'"):
    folder_pictures.source('train', str(clips / 'clips.csv'))


def test_autoencoding_counts_what_there_is(clips):
  table = clips / 'one.csv'
  text = (clips / 'clips.csv').read_text()
  table.write_text(text.replace('down|right', 'down'))
  examples = by_name(folder_films.source('train', str(table)))
  options = dict(num_frames=30, image_size=8, num_samples=1_200, gain=1.0)
  for name, seen, heard in (
    ('both.mp4', 1, 1),
    ('silent.mp4', 1, 0),
    ('blind.wav', 0, 1),
  ):
    out = folder_films.preprocess(
      examples[name], train=False, rng=None, **options
    )
    assert out['image'].shape == (30, 8, 8, 3)
    assert out['audio'].shape == (1_200, 1)
    assert (out['has_image'], out['has_audio']) == (seen, heard)
    assert (out['image'].max() > 0.1) == seen
    assert (np.abs(out['audio']).max() > 0.01) == heard


@pytest.mark.parametrize(
  'row, message',
  [
    ('a.mp4,x,2,1', r'line 2: expected 0 <= start < end .* found 2 and'),
    ('a.mp4,x,-1,1', r'line 2: expected 0 <= start < end'),
    ('a.mp4,x,soon,1', r"line 2: start: expected a number, found 'soon'"),
    ('a.mp4,x,1,nan', r"line 2: end: expected a number, found 'nan'"),
    ('a.mp4,x,1,2\na.mp4,x,1,2', r'line 3: a.mp4 is in line 2, too'),
  ],
)
def test_times_that_are_wrong(tmp_path, row, message):
  path = tmp_path / 't.csv'
  path.write_text(f'file,label,start,end\n{row}\n')
  with pytest.raises(ValueError, match=message):
    folder.source('train', str(path))


def test_a_part_says_itself():
  part = tables.Part('a.mp4')
  assert str(part) == 'a.mp4'
  assert str(part._replace(start=1.5)) == 'a.mp4 (1.5 to its end)'


def test_a_class_must_be_readable(clips):
  path = clips / 'broken.csv'
  path.write_text(
    'file,label,split\ndown/half.mp4,half,train\ndown/both.mp4,down,train\n'
  )
  with pytest.raises(ValueError, match=r"every class .* none of \['half'\]"):
    folder.source('train', str(path))


def test_a_file_that_is_not_there(tmp_path):
  with pytest.raises(media.MediaError, match='No such file'):
    folder.read_file(tables.Part(tmp_path / 'none.mp4'))


PLAYLIST = b'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n'


@pytest.mark.parametrize(
  'name, data, message',
  [
    ('empty.mp4', b'', 'Invalid data'),
    ('zeros.mp4', bytes(5_000), 'Invalid data'),
    ('text.mp4', b'no film ' * 900, 'Invalid data'),
    ('playlist.mp4', PLAYLIST, 'Invalid data|another kind'),
    ('list.mp4', b'ffconcat version 1.0\nfile ok.mp4\n', 'another kind'),
    ('a.srt', b'1\n00:00:00,000 --> 00:00:01,000\nHi.\n', 'another kind'),
    ('a.wav', wave_of(b'', 16, 1), 'found neither pictures nor sound'),
    ('nan.wav', wave_of(np.full(99, np.nan, '<f4'), 32, 3), 'is no number'),
    (
      'half.wav',
      wave_of(np.ones(4_000, '<i2'), 16, 1)[:4_000],
      'damaged|trunc',
    ),
    ('photo.mp4', photo('JPEG'), 'another kind'),
  ],
)
def test_what_is_no_clip(tmp_path, name, data, message):
  media_files.write_silent(tmp_path / 'ok.mp4', 3)  # what a list names
  (tmp_path / name).write_bytes(data)
  with pytest.raises(ValueError, match=message) as e:
    folder.read_file(tables.Part(tmp_path / name))
  assert str(e.value).startswith(str(tmp_path / name))
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  'name, pix_fmt, size, level',
  [
    ('ten_bits.mkv', 'yuv420p10le', (32, 48), 180),
    ('grey.mkv', 'gray', (32, 48), 180),
    ('alpha.mkv', 'yuva420p', (32, 48), 180),
    ('wide.mkv', 'yuv420p', (2, 3_000), 180),
    ('a_pixel.mkv', 'bgr0', (1, 1), 180),
  ],
)
def test_odd_pictures(tmp_path, name, pix_fmt, size, level):
  path = tmp_path / name
  media_files.write_clip(path, pix_fmt=pix_fmt, size=size, codec='ffv1')
  video = folder.read_file(tables.Part(path))['video']
  assert len(video) == 10
  assert abs(folder.jpegs.decode(video[-1], 8).mean() - level) < 4


@pytest.mark.parametrize('bits, kind', [(8, 1), (24, 1), (32, 3), (64, 3)])
def test_odd_sounds(tmp_path, bits, kind):
  """A step from silence to a quarter of what is loudest."""
  step = np.repeat([0.0, 0.25], 4_000)
  samples = {
    8: lambda: (step * 128 + 128).astype(np.uint8).tobytes(),
    24: lambda: b''.join(
      int(x * 2**23).to_bytes(3, 'little', signed=True) for x in step
    ),
    32: lambda: step.astype('<f4').tobytes(),
    64: lambda: step.astype('<f8').tobytes(),
  }[bits]()
  (tmp_path / 'a.wav').write_bytes(wave_of(samples, bits, kind))
  audio = folder.read_file(tables.Part(tmp_path / 'a.wav'))['audio']
  assert len(audio) == 48_000
  assert abs(int(audio[12_000])) < 200
  assert abs(int(audio[36_000]) - 2**13) < 200

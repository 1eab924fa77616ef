"""AudioSet's tables and a folder of clips; clips, labels, mixtures."""

import logging
import wave

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.sound import audio_ops, audioset, klettres
from data.video import jpegs
from tests.media_files import write_silent

CLASSES = """index,mid,display_name
0,/m/09x0r,"Speech"
1,/m/05zppz,"Male speech, man speaking"
2,/t/dd00088,"Gargling"
"""
SEGMENTS = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=5
# YTID, start_seconds, end_seconds, positive_labels
--aaaaaaaaa, 30.000, 40.000, "/m/09x0r,/t/dd00088"
b-bbbbbbbbb, 0.500, 10.500, "/m/05zppz"
ccccccccccc, 0.000, 10.000, "/m/09x0r"
ddddddddddd, 0.000, 10.000, "/m/09x0r"
eeeeeeeeeee, 0.000, 10.000, "/m/09x0r"
"""


def write_wave(path, samples, rate=audioset.RATE):
  with wave.open(str(path), 'wb') as f:
    f.setnchannels(1)
    f.setsampwidth(2)
    f.setframerate(rate)
    f.writeframes(np.int16(samples).tobytes())


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'class_labels_indices.csv').write_text(CLASSES)
  (tmp_path / 'eval_segments.csv').write_text(SEGMENTS)
  clips = tmp_path / 'clips'
  clips.mkdir()
  write_wave(clips / '--aaaaaaaaa_30.wav', np.full(1000, 7))
  write_wave(clips / 'b-bbbbbbbbb.wav', np.full(2000, -9))
  (clips / 'ccccccccccc.wav').write_bytes(b'no sound at all')
  write_silent(clips / 'eeeeeeeeeee.mp4')
  return tmp_path


def prepare(folder, config='audio'):
  builder = audioset.AudioSet(
    config=config, data_dir=folder / 'data', file_format='array_record'
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=folder)
  )


def test_missing_and_broken_clips_are_left_out_and_reported(folder, caplog):
  with caplog.at_level(logging.WARNING):
    prepare(folder)
  examples = {
    x['id']: x
    for x in audioset.source('audio/eval_segments', str(folder / 'data'))
  }
  assert set(examples) == {b'--aaaaaaaaa_30', b'b-bbbbbbbbb_0.5'}
  first, second = examples.values()
  by_label = {tuple(x['labels'].tolist()): x['audio'] for x in (first, second)}
  np.testing.assert_array_equal(by_label[0, 2], np.full(1000, 7))
  np.testing.assert_array_equal(by_label[1,], np.full(2000, -9))
  text = caplog.text
  assert '1 of 5 segments have no file' in text and 'ddddddddddd' in text
  assert 'ccccccccccc.wav' in text and '2 of 4 files could not be read' in text
  assert 'eeeeeeeeeee.mp4: found no audio track' in text


def test_what_a_clip_lacks_is_masked(folder, caplog):
  with caplog.at_level(logging.WARNING):
    prepare(folder, 'audio_video')
  text = caplog.text
  assert '1 of 4 files could not be read' in text and 'ccccccccccc.wav' in text
  assert '1 of 3 files have no audio, which is masked' in text
  assert '2 of 3 files have no video, which is masked' in text
  source = audioset.source('audio_video/eval_segments', str(folder / 'data'))
  examples = {x['id'].decode()[0]: x for x in source}
  out = {
    name: preprocess(x, rate=audioset.RATE, num_clips=2, num_frames=3)
    for name, x in examples.items()
  }
  heard, seen = out['b'], out['e']
  assert (heard['has_audio'], heard['has_image']) == (1, 0)
  assert heard['audio'].any() and not heard['image'].any()
  assert (seen['has_audio'], seen['has_image']) == (0, 1)
  assert not seen['audio'].any() and seen['labels'].tolist() == [1, 0, 0, 0]
  assert heard['image'].shape == seen['image'].shape == (2, 3, 224, 224, 3)


def test_a_silent_film_is_cut_over_all_its_length():
  frames = [np.full((8, 8, 3), i, np.uint8) for i in range(100)]
  example = {
    'audio': np.zeros(0, np.int16),
    'labels': [0],
    'video': [jpegs.encode(x) for x in frames],
  }
  out = preprocess(example, num_samples=100, num_clips=3, num_frames=25)
  starts = out['image'][:, 0, 0, 0, 0].astype(int)
  assert np.abs(starts - [0, 38, 75]).max() <= 1  # JPEG


def test_bad_tables_are_named(folder):
  (folder / 'eval_segments.csv').write_text(SEGMENTS + 'x, 1, 2, "/m/none"\n')
  classes = audioset.read_classes(folder / 'class_labels_indices.csv')
  with pytest.raises(ValueError, match=r'eval_segments.csv, line 9: .*/m/none'):
    list(audioset.read_segments(folder / 'eval_segments.csv', classes))
  (folder / 'eval_segments.csv').write_text('fffffffffff, 0, 10, "/m/09x0r"\n')
  with pytest.raises(FileNotFoundError, match='none of its 1 .*fffffffffff'):
    prepare(folder)
  with pytest.raises(FileNotFoundError, match='--config=audio'):
    audioset.source('audio/eval_segments', str(folder / 'elsewhere'))


def preprocess(example, train=False, seed=0, **changes):
  options = dict(
    num_classes=4,
    rate=100,
    num_samples=20,
    num_clips=3,
    spectrogram=None,
    spec_augment=None,
    num_frames=None,
  )
  return audioset.preprocess(
    example, train=train, rng=np.random.default_rng(seed), **options | changes
  )


def test_evaluation_spreads_clips_and_training_draws_one():
  example = {'audio': np.arange(100, dtype=np.int16), 'labels': [1, 3]}
  out = preprocess(example)
  np.testing.assert_array_equal(out['labels'], [0, 1, 0, 1])
  starts = np.float32([0, 40, 80])[:, None]
  np.testing.assert_allclose(out['audio'] * 2**15, starts + np.arange(20))
  begins = set()
  for seed in range(200):
    clip = preprocess(example, train=True, seed=seed)['audio']
    assert clip.shape == (1, 20)
    begins.add(int(clip[0, 0] * 2**15))
  assert min(begins) <= 2 and max(begins) >= 78 and len(begins) > 50
  # A sound shorter than the clip is somewhere in it, as a whole.
  short = preprocess({'audio': np.ones(5, np.int16), 'labels': [0]}, train=True)
  assert np.sum(short['audio'] > 0) == 5


def test_spectrograms_are_those_of_the_clips():
  rng = np.random.default_rng(0)
  example = {'audio': np.int16(rng.normal(0, 3000, 100)), 'labels': [0]}
  options = dict(hop=5, window=9, num_bands=2)
  plain, mel = preprocess(example), preprocess(example, spectrogram=options)
  for x, y in zip(plain['audio'], mel['audio'], strict=True):
    np.testing.assert_array_equal(y, audio_ops.log_mel(x, rate=100, **options))


def test_spectrograms_are_masked_in_training_alone():
  rng = np.random.default_rng(0)
  # As long as a clip: training has nowhere else to cut.
  example = {'audio': np.int16(rng.normal(0, 3000, 20)), 'labels': [0]}
  options = dict(spectrogram=dict(hop=5, window=9, num_bands=2), num_clips=1)
  masks = dict(num_time_masks=1, max_time=3, num_band_masks=0, max_bands=1)
  plain = preprocess(example, **options)['audio']
  same = preprocess(example, **options, spec_augment=masks)['audio']
  np.testing.assert_array_equal(same, plain)
  widths = set()
  for seed in range(20):
    masked = preprocess(
      example, train=True, seed=seed, spec_augment=masks, **options
    )['audio']
    changed = np.any(masked != plain, axis=-1)
    np.testing.assert_allclose(masked[changed], plain.mean(), rtol=1e-6)
    widths.add(int(changed.sum()))
  assert widths == {0, 1, 2, 3}


def test_frames_are_those_of_the_clip_s_time():
  example = audioset.synthetic('audio_video/eval_segments')[0]
  frames = [np.full((8, 8, 3), i, np.uint8) for i in range(50)]
  example['video'] = [jpegs.encode(x) for x in frames]
  out = audioset.preprocess(
    example,
    train=False,
    rng=None,
    num_classes=527,
    rate=audioset.RATE,
    num_samples=audioset.RATE,
    num_clips=3,
    spectrogram=None,
    spec_augment=None,
    num_frames=audioset.FPS,
  )
  found = out['image'][..., 0, 0, 0].astype(int)
  expected = np.array([[0], [12], [25]]) + np.arange(25)
  assert np.abs(found - expected).max() <= 1  # JPEG


def test_a_mixture_is_the_sum_of_two_languages():
  one = {'id': b'a', 'audio': np.full(40, 5000, np.int16), 'labels': [3]}
  two = {'id': b'b', 'audio': np.full(10, -800, np.int16), 'labels': [5]}
  too = {'id': b'c', 'audio': np.full(70, 100, np.int16), 'labels': [3]}
  mixtures = klettres.Mixtures([one, two, too], 4)
  assert len(mixtures) == 12
  for i in range(12):
    x = mixtures[i]
    assert sorted(x['labels']) == [3, 5]
    audio = x['audio'].astype(float)
    assert np.sum(audio < 800) == 10  # where they cancel
    assert np.abs(audio).max() < 3277
  assert {bytes(mixtures[i]['id']) for i in (0, 3, 6, 9)} == {b'a b'}
  again = klettres.Mixtures([one, two, too], 4)[5]['audio']
  np.testing.assert_array_equal(mixtures[5]['audio'], again)


def test_missing_recordings_are_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='apt-get install klettres-data'):
    klettres.recordings(tmp_path)

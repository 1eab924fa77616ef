"""Sounds of users' files are cut and named as the run's data set does it."""

import wave

import numpy as np
import pytest

from configs.perceiver_io import audioset as config_file
from configs.perceiver_io import finetune_clips
from data.sound import klettres, predictions
from train_lib import prediction


def write_wave(path, samples, rate=16_000):
  with wave.open(str(path), 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes(samples.astype('<i2').tobytes())


def make(**options):
  config = config_file.get_config('demo')
  return config, predictions.make_predictions(config, None, **options)


def test_a_file_is_the_data_sets_example(tmp_path):
  pytest.importorskip('av')
  config, kind = make()
  raw = klettres.synthetic('test', 1)[0]
  write_wave(tmp_path / 'a.WAV', raw['audio'])
  (tmp_path / '.DS_Store').write_bytes(b'')
  (path,) = kind.expand(str(tmp_path))
  options = prediction.evaluation(config).data.preprocess
  expected = klettres.preprocess(raw, train=False, rng=None, **options)
  for given in (path, raw['audio']):
    found = kind.example(given)
    assert set(found) == {'audio'}
    np.testing.assert_allclose(found['audio'], expected['audio'], atol=1e-3)


def test_the_likeliest_first():
  _, kind = make(top=2)
  output = np.zeros(len(klettres.CLASSES), np.float32)
  output[3], output[1] = 0.9, 0.7
  values, files = kind.result('a.wav', output)
  assert values == {
    'label': klettres.CLASSES[3],
    'probability': pytest.approx(0.9),
    'label_2': klettres.CLASSES[1],
    'probability_2': pytest.approx(0.7),
  }
  assert not files


def test_what_is_wrong_is_said(tmp_path):
  pytest.importorskip('av')
  _, kind = make()
  with pytest.raises(ValueError, match=r'expected files .*\.wav.*, found none'):
    kind.expand(str(tmp_path))
  (tmp_path / 'a.wav').write_bytes(b'no sound')
  with pytest.raises(ValueError, match=r'a\.wav'):
    kind.example(tmp_path / 'a.wav')
  with pytest.raises(ValueError, match='top: expected a number from 1'):
    make(top=0)


def test_clips_are_seen_and_heard():
  """Not as the evaluations that hide one of the two, though named before."""
  config = finetune_clips.get_config('demo')
  assert next(iter(config.evals)) != 'validation'
  assert prediction.evaluation(config).data.preprocess.hidden == ()

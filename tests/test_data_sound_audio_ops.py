"""Spectrograms against sums in float64; masks and clips."""

import numpy as np
import pytest

from data.sound import audio_ops


def naive_log_mel(audio, rate, hop, window, num_bands):
  """A sum for every frame, band and frequency."""
  hann = [np.sin(np.pi * i / window) ** 2 for i in range(window)]
  top = 2595 * np.log10(1 + rate / 1400)
  mels = [top * i / (num_bands + 1) for i in range(num_bands + 2)]
  corners = [700 * (10 ** (m / 2595) - 1) for m in mels]
  rows = []
  for t in range(len(audio) // hop):
    begin = t * hop + hop // 2 - window // 2
    x = np.array(
      [
        audio[begin + i] * hann[i] if 0 <= begin + i < len(audio) else 0.0
        for i in range(window)
      ]
    )
    row = np.zeros(num_bands)
    for k in range(window // 2 + 1):
      wave = np.exp(-2j * np.pi * k * np.arange(window) / window)
      power = abs(np.sum(x * wave)) ** 2 / sum(h * h for h in hann)
      for b, (low, peak, high) in enumerate(
        zip(corners, corners[1:], corners[2:], strict=False)
      ):
        f = k * rate / window
        if low < f <= peak:
          row[b] += power * (f - low) / (peak - low)
        elif peak < f < high:
          row[b] += power * (high - f) / (high - peak)
    rows.append(np.log10(row + 1e-5))
  return np.array(rows)


@pytest.mark.parametrize('hop, window', [(40, 64), (64, 64), (32, 96)])
def test_log_mel_is_the_naive_sum(hop, window):
  audio = np.random.default_rng(0).uniform(-1, 1, 320)
  options = dict(rate=1000, hop=hop, window=window, num_bands=5)
  found = audio_ops.log_mel(audio, **options)
  assert found.shape == (320 // hop, 5) and found.dtype == np.float32
  np.testing.assert_allclose(found, naive_log_mel(audio, **options), atol=1e-6)


def test_a_tone_is_in_its_band_at_its_time():
  rate, hop = 16_000, 160
  times = np.arange(4 * 1600) / rate
  audio = np.where(times >= 0.2, np.sin(2 * np.pi * 1000 * times), 0)
  mel = audio_ops.log_mel(audio, rate=rate, hop=hop, window=512, num_bands=40)
  np.testing.assert_allclose(mel[:15], -5)  # silence
  top = 2595 * np.log10(1 + 8000 / 700)
  peaks = 700 * (10 ** (top * np.arange(1, 41) / 41 / 2595) - 1)
  nearest = np.abs(peaks - 1000).argmin()
  assert set(mel[25:].argmax(axis=1)) == {nearest}


def test_sizes_that_do_not_fit_are_named():
  options = dict(rate=1000, num_bands=5)
  with pytest.raises(ValueError, match='found 30, 64, .* 100 samples'):
    audio_ops.log_mel(np.zeros(100), hop=30, window=64, **options)
  with pytest.raises(ValueError, match='found 50, 32'):
    audio_ops.log_mel(np.zeros(100), hop=50, window=32, **options)
  with pytest.raises(ValueError, match='num_bands: found 60'):
    audio_ops.mel_filters(60, 64, 16_000)


def test_spec_augment_masks_stripes_within_bounds():
  x = np.random.default_rng(0).standard_normal((50, 30)).astype('f')
  original = x.copy()
  times, bands = set(), set()
  for seed in range(100):
    out = audio_ops.spec_augment(
      x,
      np.random.default_rng(seed),
      num_time_masks=1,
      max_time=7,
      num_band_masks=1,
      max_bands=4,
    )
    masked = out == x.mean()
    np.testing.assert_array_equal(out[~masked], original[~masked])
    rows, columns = masked.all(axis=1), masked.all(axis=0)
    np.testing.assert_array_equal(masked, rows[:, None] | columns)
    for stripe, found in ((rows, times), (columns, bands)):
      width = int(stripe.sum())
      assert np.ptp(np.flatnonzero(stripe)) == width - 1 if width else True
      found.add(width)
  assert times == set(range(8)) and bands == set(range(5))
  np.testing.assert_array_equal(x, original)


def test_clips():
  np.testing.assert_allclose(audio_ops.clip_starts(10, 4, 4), [0, 2, 4, 6])
  np.testing.assert_allclose(audio_ops.clip_starts(10, 4, 1), [3])
  np.testing.assert_allclose(audio_ops.clip_starts(3, 4, 2), [0, 0])
  x = np.arange(1, 6)
  np.testing.assert_array_equal(audio_ops.cut(x, 1, 3), [2, 3, 4])
  np.testing.assert_array_equal(audio_ops.cut(x, -2, 4), [0, 0, 1, 2])
  np.testing.assert_array_equal(audio_ops.cut(x, 4, 3), [5, 0, 0])
  np.testing.assert_array_equal(audio_ops.cut(x, 9, 2), [0, 0])

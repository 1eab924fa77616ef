"""Operations on sound, numpy, one clip at a time.

Letters: S samples, T frames of a spectrogram, F of its bands.
"""

import functools

import numpy as np

# Of a power spectrum of samples in [-1, 1]; digital silence is far below it.
_FLOOR = 1e-5


def clip_starts(length: float, size: float, num_clips: int) -> np.ndarray:
  """Where evenly spaced clips begin: the first at 0, the last at the end.

  Args:
    length: of the whole.
    size: of a clip; one longer than the whole begins at 0.
    num_clips: how many; a single one is central.
  """
  last = max(length - size, 0.0)
  if num_clips == 1:
    return np.array([last / 2])
  return np.linspace(0.0, last, num_clips)


def cut(audio: np.ndarray, start: int, num_samples: int) -> np.ndarray:
  """num_samples of audio [S] from `start` on, silence outside of it."""
  out = np.zeros(num_samples, audio.dtype)
  first, last = max(start, 0), min(start + num_samples, len(audio))
  if first < last:
    out[first - start : last - start] = audio[first:last]
  return out


@functools.lru_cache
def mel_filters(num_bands: int, num_samples: int, rate: int) -> np.ndarray:
  """Triangles in frequency whose corners are even in mel, float64.

  mel = 2595 log10(1 + f / 700), from 0 to half the sampling rate; a filter
  rises from its lower neighbour's peak to 1 at its own and falls to 0 at the
  upper neighbour's.

  Args:
    num_bands: F.
    num_samples: of the window of the Fourier transform.
    rate: samples a second.

  Returns:
    [num_samples // 2 + 1, F].

  Raises:
    ValueError: if a band is narrower than the transform can tell.
  """
  top = 2595 * np.log10(1 + rate / 2 / 700)
  corners = 700 * (10 ** (np.linspace(0, top, num_bands + 2) / 2595) - 1)
  frequencies = np.fft.rfftfreq(num_samples, 1 / rate)[:, None]
  low, peak, high = corners[:-2], corners[1:-1], corners[2:]
  rising = (frequencies - low) / (peak - low)
  falling = (high - frequencies) / (high - peak)
  filters = np.maximum(np.minimum(rising, falling), 0)
  if not filters.any(axis=0).all():
    raise ValueError(
      f'num_bands: found {num_bands}, expected fewer with a window of '
      f'{num_samples} samples at {rate} Hz: a band has no frequency.'
    )
  return filters


def log_mel(
  audio: np.ndarray, *, rate: int, hop: int, window: int, num_bands: int
) -> np.ndarray:
  """A log-mel spectrogram: log10 of the power in each band, float32 [T, F].

  Frame t of T = S / hop is the Hann window whose middle is that of the t-th
  `hop` samples; silence surrounds the clip.

  Args:
    audio: floats [S] in [-1, 1].
    rate: samples a second.
    hop: samples from frame to frame; divides S.
    window: samples of the window; even as hop is, or odd as it is.
    num_bands: F.

  Raises:
    ValueError: for sizes that do not fit.
  """
  if len(audio) % hop or (window - hop) % 2 or window < hop:
    raise ValueError(
      f'hop, window: found {hop}, {window}, expected a hop that divides the '
      f"clip's {len(audio)} samples and a window longer by an even number."
    )
  margin = (window - hop) // 2
  frames = np.lib.stride_tricks.sliding_window_view(
    np.pad(audio, margin), window
  )[::hop]
  hann = np.hanning(window + 1)[:-1]  # periodic
  spectrum = np.fft.rfft(frames * hann)
  power = (spectrum.real**2 + spectrum.imag**2) / np.sum(hann**2)
  bands = power @ mel_filters(num_bands, window, rate)
  return np.log10(bands + _FLOOR).astype(np.float32)


def spec_augment(
  spectrogram: np.ndarray,
  rng: np.random.Generator,
  *,
  num_time_masks: int,
  max_time: int,
  num_band_masks: int,
  max_bands: int,
) -> np.ndarray:
  """Replaces stripes by the mean (Park et al. 2019, SpecAugment, no warping).

  Args:
    spectrogram: [T, F].
    rng: what to draw from.
    num_time_masks, max_time: stripes of frames, each 0 to max_time wide.
    num_band_masks, max_bands: the same of bands.
  """
  out = spectrogram.copy()
  mean = spectrogram.mean()
  for view, num_masks, most in (
    (out, num_time_masks, max_time),
    (out.T, num_band_masks, max_bands),
  ):
    for _ in range(num_masks):
      width = int(rng.integers(min(most, len(view)) + 1))
      start = int(rng.integers(len(view) - width + 1))
      view[start : start + width] = mean
  return out

